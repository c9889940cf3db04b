"""The claims as data: every paper's YAML file beside this module, validated when read.

A claim has *parts*, each with a statistic of the evidence (what is compared with what) and a kind (the rule
that turns its interval into a verdict: `repro.claims.rules`). A claim without parts is *pending*: it says
which experiment would measure it. A new claim is one new entry; a new paper is one new file.
"""

import re
from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from repro.errors import ReproError

FOLDER = Path(__file__).resolve().parent
FAMILY_ERROR = 0.05
UNITS_HEADLINE = 60
UNITS = 30

Value = bool | int | float | str
Filter = dict[str, Value | list[Value]]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Measured(_Data):
    """A number of each (cell, unit): a column, or the difference of two columns of the same row."""

    metric: Text
    minus: Text | None = None
    where: Filter = {}
    cells: tuple[Text, ...] = ()


class _TwoConditions(_Measured):
    treatment: Filter
    baseline: Filter

    @model_validator(mode="after")
    def _conditions_differ(self) -> Self:
        if not self.treatment or self.treatment.keys() != self.baseline.keys():
            raise ValueError("treatment and baseline must set the same columns")
        if self.treatment == self.baseline:
            raise ValueError("treatment and baseline are the same condition")
        for column in self.treatment:
            if column in self.cells or column in self.where:
                raise ValueError(f"column {column!r} is a condition and cannot be in cells or where too")
        return self


class Contrast(_TwoConditions):
    """Treatment minus baseline, paired within (cell, unit).

    A condition that lists several values of a column is the mean over them, each of which must be there.
    With `minus` it is the difference of two metrics' contrasts.
    """

    kind: Literal["contrast"]


class Gap(_Measured):
    """One metric minus another of the same row."""

    kind: Literal["gap"]
    minus: Text


class Constant(_Measured):
    """A metric minus a number."""

    kind: Literal["constant"]
    value: Finite


class Level(_TwoConditions):
    """A metric under the treatment, beside the figure that the paper published.

    The baseline is the condition it is confused with in the negative control.
    """

    kind: Literal["level"]
    published: Finite


class Spread(_TwoConditions):
    """How much more a metric spreads over the units under the treatment than under the baseline."""

    kind: Literal["spread"]


class Range(_Measured):
    """A metric at the level of `factor` that is highest, less that at the lowest one; all levels in every unit.

    Highest and lowest in `by`, or in the metric itself without it, as found on the first half of the units; the
    difference is measured on the others.
    """

    kind: Literal["range"]
    factor: Text
    by: Text | None = None


class Halves(_Measured):
    """A metric in the half of `factor`'s levels where it is higher, less that in the other half; one level a unit.

    Which half a level is in is found on the first half of the units; the difference is measured on the others.
    """

    kind: Literal["halves"]
    factor: Text


class Exact(_Data):
    """Rows of named checks, every one of which must hold.

    `checks` gives each check's least number of rows. Where a row has the numbers they are compared anew: with
    `published` (within `tolerance`), or with `bound` on the side that `bounds` names. `slips` maps a check's
    printed figures that are misprints to the right ones.
    """

    kind: Literal["exact"]
    checks: dict[Text, Annotated[int, Field(ge=1)]] = Field(min_length=1)
    bounds: dict[Text, Literal["at least", "at most"]] = {}
    slips: dict[Text, dict[float, float]] = {}

    @model_validator(mode="after")
    def _known_checks(self) -> Self:
        for name in (*self.bounds, *self.slips):
            if name not in self.checks:
                raise ValueError(f"{name!r} is not among the checks")
        return self


class Among(_Data):
    """A metric that has one of a few values in every row that `where` selects, at least `least` of them."""

    kind: Literal["among"]
    metric: Text
    where: Filter
    allowed: tuple[Finite, ...] = Field(min_length=1)
    least: Annotated[int, Field(ge=1)]


Statistic = Annotated[
    Contrast | Gap | Constant | Level | Spread | Range | Halves | Exact | Among, Field(discriminator="kind")
]


class Beside(_Data):
    """A figure computed like a part's and reported with the claim, never judged."""

    name: Text
    experiment: Text
    statistic: Annotated[Contrast | Gap | Constant | Spread | Range | Halves, Field(discriminator="kind")]


class Part(_Data):
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


class Claim(_Data):
    """One assertion of a paper; `paper` and `inventory` come from its file."""

    id: Annotated[str, Field(pattern=r"^[a-z]+-\d{2,}$")]
    paper: Text
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
        if bool(self.parts) == (self.pending is not None):
            raise ValueError("a claim has either parts or pending, not both or neither")
        names = [entry.name for entry in self.entries]
        if len(set(names)) != len(names):
            raise ValueError("two parts have the same name")
        return self

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


class _Paper(_Data):
    paper: Text
    reference: Text
    inventory: Annotated[int, Field(ge=1)]
    claims: dict[str, dict[str, Any]]


class _UniqueKeyLoader(yaml.SafeLoader):
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
        return super().construct_mapping(node, deep)


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
        given = {"id": name, "paper": paper.paper, "inventory": paper.inventory}
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
