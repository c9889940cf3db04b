"""What claims compare, as data: one class per kind of statistic; `repro.claims.sample` computes them."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Value = bool | int | float | str
Filter = dict[str, Value | list[Value]]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


class Data(BaseModel):
    """Plain data of a claims file: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Measured(Data):
    """One number per (cell, unit): a column, or the difference of two columns of the same row."""

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

    A condition that lists several values of a column is the mean over them; each of them must be present. With `minus`
    it is the difference of two metrics' contrasts.
    """

    kind: Literal["contrast"]


class Gap(_Measured):
    """One metric minus another of the same row."""

    kind: Literal["gap"]
    minus: Text


class Constant(_Measured):
    """A metric minus a constant."""

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
    """A metric at the highest level of `factor` minus that at the lowest; every unit has all levels.

    Highest and lowest are by `by`, or by the metric itself without it. They are found on the first half of the units,
    and the difference is measured on the second half.
    """

    kind: Literal["range"]
    factor: Text
    by: Text | None = None


class Halves(_Measured):
    """A metric in the half of `factor`'s levels where it is higher minus that in the other half; one level per unit.

    The levels are divided on the first half of the units, and the difference is measured on the second half.
    """

    kind: Literal["halves"]
    factor: Text


class Exact(Data):
    """Rows of named checks, all of which must hold.

    `checks` gives the minimum number of rows of each check. Where a row holds the numbers, they are compared again:
    with `published` (within `tolerance`), or with `bound` on the side that `bounds` names. `slips` maps a check's
    misprinted figures to the right ones.
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


class Among(Data):
    """A metric that has one of a few values in every row that `where` selects, at least `least` of them."""

    kind: Literal["among"]
    metric: Text
    where: Filter
    allowed: tuple[Finite, ...] = Field(min_length=1)
    least: Annotated[int, Field(ge=1)]


Statistic = Annotated[
    Contrast | Gap | Constant | Level | Spread | Range | Halves | Exact | Among, Field(discriminator="kind")
]
