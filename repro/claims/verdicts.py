"""What the judge says about claims: the public contract of `reports/<profile>/verdicts.json`, schema version 2.

The file is a list of `Verdict`, keys as its fields. A part of kind "beside" is reported and never judged: its verdict
is null. Version 2 adds the verdict "reported" for a table: nothing is judged, and its figures are its parts.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from repro.claims.rules import Outcome

SCHEMA = 2
Interval = tuple[float, float]


class CellEstimate(BaseModel):
    """One cell of the grid: its mean paired effect over n units, and whether it agrees with the claim."""

    model_config = ConfigDict(frozen=True)

    cell: str
    estimate: float
    n: int
    agrees: bool | None


class PartVerdict(BaseModel):
    """A part's figures in its metric's units: level is the interval's, interval95 and bootstrap are checks.

    turning: by how much the interval would have to move for another verdict.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["direction", "equal", "no loss", "level", "exact", "beside"]
    verdict: Outcome | None
    estimate: float | None = None
    interval: Interval | None = None
    interval95: Interval | None = None
    bootstrap: Interval | None = None
    level: float
    n: int = 0
    minimum: float | None = None
    margin: float | None = None
    cells: tuple[CellEstimate, ...] = ()
    turning: float | None = None
    reason: str = ""


class Verdict(BaseModel):
    """A claim's verdict. With several parts, estimate, interval and n are those of the first part that has the verdict.

    A table has no estimate and no interval of its own; its n is the smallest of its figures'.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    verdict: Outcome
    estimate: float | None
    interval: Interval | None
    level: float
    n: int
    published: str | None
    parts: tuple[PartVerdict, ...]
    reason: str
