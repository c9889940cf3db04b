"""Evidence made up from a claim's own filters: skewed noise, units that differ, and effects planted at will."""

from itertools import product

import numpy as np

from repro.claims.catalogue import Claim, Constant, Exact, Part, load_claims
from repro.claims.facts import ProfileFacts
from repro.evidence.table import Row, Table, table

CENTRE = 0.5


def facts_for(claim: Claim, dataset: str | None = None) -> ProfileFacts:
    """Facts of a profile that runs the claim's experiments."""
    return ProfileFacts("made-up", frozenset(claim.experiments), dataset)


def settings() -> list[tuple[str, str | None]]:
    """Every claim with parts, on other data than the paper's and on each dataset it has levels for."""
    return [
        (claim.id, dataset)
        for claim in load_claims().values()
        if claim.parts
        for dataset in (None, *sorted({part.dataset for part in claim.parts if part.dataset}))
    ]


def applicable(claim: Claim, dataset: str | None) -> list[Part]:
    return [part for part in claim.parts if part.dataset in (None, dataset)]


def evidence(
    claim: Claim, seed: int = 0, *, planted: bool = True, units: int | None = None
) -> dict[str, Table]:
    """Tables of the claim's experiments; with the claimed effects planted, or with no effect at all."""
    generator = np.random.default_rng(seed)
    tables = {}
    for experiment in claim.experiments:
        entries = [entry for entry in claim.entries if entry.experiment == experiment]
        exact = [entry.statistic for entry in entries if isinstance(entry.statistic, Exact)]
        if exact:
            tables[experiment] = table(row for statistic in exact for row in _checks(statistic))
            continue
        rows = _grid(entries, units or claim.units_needed, generator)
        if planted:
            for part in claim.parts:
                plant(part, rows)
        tables[experiment] = table(rows)
    return tables


def _grid(entries: list, units: int, generator: np.random.Generator) -> list[Row]:
    named: dict[str, dict] = {}
    metrics: dict[str, None] = {}
    for entry in entries:
        statistic = entry.statistic
        conditions = (
            () if statistic.kind in ("gap", "constant") else (statistic.treatment, statistic.baseline)
        )
        for wanted in (statistic.where, *conditions):
            for column, value in wanted.items():
                named.setdefault(column, {}).update(
                    dict.fromkeys(value if isinstance(value, list) else [value])
                )
        for column in statistic.cells:
            named.setdefault(column, {})
        metrics.update(dict.fromkeys([statistic.metric, *([statistic.minus] if statistic.minus else [])]))
    columns = {column: list(values) or ["first", "second"] for column, values in named.items()}
    rows: list[Row] = []
    for unit in range(units):
        of_unit = 0.05 * generator.standard_normal()
        for combination in product(*columns.values()):
            rows.append(
                {
                    "run": f"r{len(rows):05d}",
                    "unit": f"u{unit:03d}",
                    **dict(zip(columns, combination, strict=True)),
                }
            )
            skewed = 0.03 * (generator.gamma(1.0, size=len(metrics)) - 1.0)
            rows[-1].update(zip(metrics, (CENTRE + of_unit + skewed).tolist(), strict=True))
    return rows


def matching(rows: list[Row], wanted: dict) -> list[Row]:
    return [
        r for r in rows if all(r[c] in v if isinstance(v, list) else r[c] == v for c, v in wanted.items())
    ]


def plant(part: Part, rows: list[Row]) -> None:
    """Shift the treatment's metric so that the claimed effect is there."""
    statistic = part.statistic
    if part.kind == "direction":
        wanted = statistic.where if isinstance(statistic, Constant) else statistic.where | statistic.treatment
        shift = (part.minimum + 0.15) * (1 if part.side == "higher" else -1)
    elif part.kind == "level":
        wanted = statistic.where | statistic.treatment
        shift = statistic.published - float(np.mean([r[statistic.metric] for r in matching(rows, wanted)]))
    else:
        return
    for row in matching(rows, wanted):
        row[statistic.metric] += shift


def _checks(statistic: Exact) -> list[Row]:
    rows: list[Row] = []
    for check, least in statistic.checks.items():
        for index in range(least):
            bounded = check in statistic.bounds
            slips = list(statistic.slips.get(check, {}).items())
            published, right = slips[index] if index < len(slips) else (0.1 * (index + 1),) * 2
            rows.append(
                {
                    "check": check,
                    "computed": 1.0 if bounded else right + 0.0003,
                    "published": None if bounded else published,
                    "tolerance": None if bounded else 0.0005,
                    "bound": 1.0 if bounded else None,
                    "holds": True,
                }
            )
    return rows
