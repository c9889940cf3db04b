"""The claims as data: every paper's ``claims.yaml``, validated when read.

A claim has *parts*, each with a statistic of the evidence (what is compared with what) and a kind (the rule that turns
its interval into a verdict: `repro.claims.rules`). A claim of kind *table* asserts no direction and has no parts: it
has figures *beside*, and is reported. A claim with neither is *pending*: it names the experiment that would measure it.
A new claim is one new entry; a new paper is one new file.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from repro import plugins
from repro.claims.comparisons import Constant, Contrast, Data, Gap, Halves, Range, Spread, Statistic, Text
from repro.errors import ReproError
from repro.reading import checked, read_yaml

TABLE = "table"
FAMILY_ERROR = 0.05
UNITS_HEADLINE = 60
UNITS = 30

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Beside(Data):
    """A figure computed like a part's and reported with the claim but never judged; a table consists of these."""

    name: Text
    experiment: Text
    statistic: Annotated[Contrast | Gap | Constant | Spread | Range | Halves, Field(discriminator="kind")]


class Part(Data):
    """One judged assertion of a claim.

    direction: `side` and `minimum`. equal: `margin`. no loss: `margin`; only a fall below it counts. level: `margin` is
    the tolerance and `dataset` the data that the figure was published for, on the paper's models. An assertion about
    some datasets only is judged `only_on` those, or on all but those in `not_on`.
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

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*-\d{2,}$")]
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
            raise ValueError(f"a claim of kind {TABLE!r} takes no parts: its figures belong under beside")
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
        """Its parts, followed by the figures shown beside them."""
        return (*self.parts, *self.beside)

    @property
    def experiments(self) -> tuple[str, ...]:
        """Names of the experiments that its parts and the figures beside them read, without repetition."""
        return tuple(dict.fromkeys(entry.experiment for entry in self.entries))


class _Paper(Data):
    paper: Text
    reference: Text
    inventory: Annotated[int, Field(ge=1)]
    claims: dict[str, dict[str, Any]]


def read_paper(path: Path) -> Iterator[Claim]:
    """Claims of one file, in its order; ReproError names the file, the claim and the field."""
    paper = checked(_Paper, read_yaml(path), str(path))
    if len(paper.claims) > paper.inventory:
        raise ReproError(f"{path}: inventory: {paper.inventory}, but there are {len(paper.claims)} claims")
    for name, entry in paper.claims.items():
        given = {"id": name, **paper.model_dump(include={"paper", "reference", "inventory"})}
        for field in given.keys() & entry.keys():
            raise ReproError(f"{path}: claim {name}: {field}: belongs to the file, not to the claim")
        yield checked(Claim, {**entry, **given}, f"{path}: claim {name}")


def load_claims(*files: Path) -> dict[str, Claim]:
    """All claims of these files, or of all papers', by id."""
    return _load(files or tuple(plugins.claims_files()))


@cache
def _load(files: tuple[Path, ...]) -> dict[str, Claim]:
    claims: dict[str, Claim] = {}
    places: dict[str, Path] = {}
    for path in files:
        for claim in read_paper(path):
            if claim.id in claims:
                raise ReproError(
                    f"{path}: claim {claim.id}: another file has this id too: {places[claim.id]}"
                )
            claims[claim.id], places[claim.id] = claim, path
    return claims


def load_claim(claim_id: str) -> Claim:
    """The claim with that id; raises ReproError for an unknown one."""
    claims = load_claims()
    if claim_id not in claims:
        raise ReproError(f"unknown claim {claim_id!r}: there are {', '.join(claims)}")
    return claims[claim_id]
