"""The claims as data: every paper's YAML file beside this module, validated when read.

A claim has *parts*, each with a statistic of the evidence (what is compared with what) and a kind (the rule
that turns its interval into a verdict: `repro.claims.rules`). A claim of kind *table* asserts no direction and
has no parts: it has figures *beside*, and is reported. A claim with neither is *pending*: it says which
experiment would measure it. A new claim is one new entry; a new paper is one new file.
"""

import re
from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from repro.claims.comparisons import (
    Constant,
    Contrast,
    Data,
    Gap,
    Halves,
    Range,
    Spread,
    Statistic,
    Text,
)
from repro.errors import ReproError
from repro.profiles.reading import LOADER

FOLDER = Path(__file__).resolve().parent
TABLE = "table"
FAMILY_ERROR = 0.05
UNITS_HEADLINE = 60
UNITS = 30

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Beside(Data):
    """A figure computed like a part's and reported with the claim, never judged; what a table consists of."""

    name: Text
    experiment: Text
    statistic: Annotated[Contrast | Gap | Constant | Spread | Range | Halves, Field(discriminator="kind")]


class Part(Data):
    """One judged assertion of a claim.

    direction: `side` and `minimum`. equal: `margin`. no loss: `margin`; only a fall below it counts. level:
    `margin` is the tolerance and `dataset` the data that the figure was published for, on the paper's models. What is
    asserted of some data alone is judged `only_on` those, or everywhere but `not_on` others.
    """

    name: Text
    experiment: Text
    kind: Literal["direction", "equal", "no loss", "level", "exact"]
    side: Literal["higher", "lower"] | None = None
    minimum: Positive | None = None
    margin: Positive | None = None
    dataset: Text | None = None
    only_on: tuple[Text, ...] = ()
    not_on: tuple[Text, ...] = ()
    statistic: Statistic

    @model_validator(mode="after")
    def _fields_of_kind(self) -> Self:
        wanted = {
            "direction": {"side", "minimum"},
            "equal": {"margin"},
            "no loss": {"margin"},
            "level": {"margin", "dataset"},
            "exact": set[str](),
        }[self.kind]
        for field in ("side", "minimum", "margin", "dataset"):
            if (getattr(self, field) is not None) != (field in wanted):
                raise ValueError(f"kind {self.kind!r} {'needs' if field in wanted else 'takes no'} {field!r}")
        judged_as = {"among": "exact"}.get(self.statistic.kind, self.statistic.kind)
        if judged_as != self.kind and {judged_as, self.kind} & {"level", "exact"}:
            raise ValueError(f"kind {self.kind!r} cannot be judged on a {self.statistic.kind!r} statistic")
        return self


class Claim(Data):
    """One assertion of a paper, or a comparison it makes; `paper`, `reference` and `inventory` come from its file."""

    id: Annotated[str, Field(pattern=r"^[a-z]+-\d{2,}$")]
    paper: Text
    reference: Text
    inventory: Annotated[int, Field(ge=1)]
    title: Text
    text: Text
    where: Text
    kind: Text
    published: Text | None
    headline: bool = False
    parts: tuple[Part, ...] = ()
    beside: tuple[Beside, ...] = ()
    pending: Text | None = None

    @model_validator(mode="after")
    def _parts_or_pending(self) -> Self:
        if self.is_table and self.parts:
            raise ValueError(f"a claim of kind {TABLE!r} takes no parts: its figures stand under beside")
        if bool(self.beside if self.is_table else self.parts) == (self.pending is not None):
            which = (
                f"a claim of kind {TABLE!r} has either beside"
                if self.is_table
                else "a claim has either parts"
            )
            raise ValueError(f"{which} or pending, not both or neither")
        names = [entry.name for entry in self.entries]
        if len(set(names)) != len(names):
            raise ValueError("two parts have the same name")
        return self

    @property
    def is_table(self) -> bool:
        """Whether it is a comparison without an asserted direction, reported and never judged."""
        return self.kind == TABLE

    @property
    def level(self) -> float:
        """Confidence level of the verdict: 1 - 0.05 / m, m the paper's number of claims."""
        return 1 - FAMILY_ERROR / self.inventory

    @property
    def units_needed(self) -> int:
        """Least number of units for a verdict other than inconclusive."""
        return UNITS_HEADLINE if self.headline else UNITS

    @property
    def entries(self) -> tuple[Part | Beside, ...]:
        """Its parts, and after them the figures shown beside."""
        return (*self.parts, *self.beside)

    @property
    def experiments(self) -> tuple[str, ...]:
        """Names of the experiments its parts and the figures beside them read, each once."""
        return tuple(dict.fromkeys(entry.experiment for entry in self.entries))


class _Paper(Data):
    paper: Text
    reference: Text
    inventory: Annotated[int, Field(ge=1)]
    claims: dict[str, dict[str, Any]]


class _UniqueKeyLoader(LOADER):  # type: ignore[misc, valid-type]
    """The safe loader, which also refuses a key given twice (the second would silently win)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path) -> Any:
    """Plain data of a YAML file, by the safe loader; ReproError in one line for anything else."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        raise ReproError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReproError(f"{path}: cannot be read as text ({error})") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ReproError(f"{path}{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ReproError(f"{path}: not YAML ({' '.join(str(error).split())})") from None


def first_problem(error: ValidationError) -> str:
    """The first problem pydantic found, in one line: its field and what is wrong with it."""
    problem = error.errors()[0]
    field = ".".join(str(step) for step in problem["loc"])
    message = re.sub(r"^Value error, ", "", problem["msg"])
    return f"{field}: {message}" if field else message


def read_paper(path: Path) -> Iterator[Claim]:
    """Claims of one file, in its order; ReproError names the file, the claim and the field."""
    try:
        paper = _Paper.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ReproError(f"{path}: {first_problem(error)}") from None
    if len(paper.claims) > paper.inventory:
        raise ReproError(f"{path}: inventory: {paper.inventory}, but there are {len(paper.claims)} claims")
    for name, entry in paper.claims.items():
        given = {"id": name, **paper.model_dump(include={"paper", "reference", "inventory"})}
        for field in given.keys() & entry.keys():
            raise ReproError(f"{path}: claim {name}: {field}: belongs to the file, not to the claim")
        try:
            yield Claim.model_validate({**entry, **given})
        except ValidationError as error:
            raise ReproError(f"{path}: claim {name}: {first_problem(error)}") from None


@cache
def load_claims(folder: Path = FOLDER) -> dict[str, Claim]:
    """Every claim of every paper's file in the folder, by id."""
    claims: dict[str, Claim] = {}
    for path in sorted(folder.glob("*.yaml")):
        for claim in read_paper(path):
            if claim.id in claims:
                raise ReproError(f"{path}: claim {claim.id}: another file has this id too")
            claims[claim.id] = claim
    return claims


def load_claim(claim_id: str) -> Claim:
    """The claim of that id; ReproError when there is none."""
    claims = load_claims()
    if claim_id not in claims:
        raise ReproError(f"unknown claim {claim_id!r}: there are {', '.join(claims)}")
    return claims[claim_id]
