"""Evidence made up from a claim's own filters: skewed noise, units that differ, and effects planted at will."""

from itertools import product

import numpy as np

from repro.claims.catalogue import Beside, Claim, Part, load_claims
from repro.claims.comparisons import Among, Exact, Statistic
from repro.claims.facts import ProfileFacts
from repro.harness.evidence.table import Row, Table, table

CENTRE = 0.5
LEVELS = 6


def facts_for(claim: Claim, dataset: str | None = None) -> ProfileFacts:
    """Facts of a profile that runs the claim's experiments, on a paper's data when they are named."""
    return ProfileFacts("made-up", frozenset(claim.experiments), dataset, dataset=dataset)


def settings() -> list[tuple[str, str | None]]:
    """Every judged claim (not a table), on other data than the paper's and on each dataset that a part is of."""
    return [
        (claim.id, dataset)
        for claim in load_claims().values()
        if claim.parts and not claim.is_table
        for dataset in (
            None,
            *sorted({d for part in claim.parts for d in (part.dataset, *part.only_on) if d}),
        )
        if applicable(claim, dataset)
    ]


def applicable(claim: Claim, dataset: str | None) -> list[Part]:
    return [
        part
        for part in claim.parts
        if part.dataset in (None, dataset)
        and (not part.only_on or dataset in part.only_on)
        and dataset not in part.not_on
    ]


def evidence(
    claim: Claim,
    seed: int = 0,
    *,
    planted: bool = True,
    units: int | None = None,
    dataset: str | None = None,
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
        split = any(entry.statistic.kind in ("range", "halves") for entry in entries)
        rows = _grid(entries, units or claim.units_needed * (2 if split else 1), generator)
        if planted:
            parts = sorted(applicable(claim, dataset) or claim.parts, key=lambda part: part.kind == "level")
            for part in parts:
                if part.experiment == experiment:
                    plant(part, rows, levels=any(p.kind == "level" for p in parts))
        tables[experiment] = table(rows)
    return tables


def _named(entry: Part | Beside) -> dict[str, dict]:
    """Columns that an entry tells rows apart by, each with the values it names there."""
    statistic = entry.statistic
    named: dict[str, dict] = {}
    conditions = (statistic.treatment, statistic.baseline) if hasattr(statistic, "treatment") else ()
    for wanted in (statistic.where, *conditions):
        for column, value in wanted.items():
            named.setdefault(column, {}).update(dict.fromkeys(value if isinstance(value, list) else [value]))
    for column in getattr(statistic, "cells", ()):
        named.setdefault(column, {})
    if statistic.kind == "range":
        named.setdefault(statistic.factor, {})
    return named


def _products(entries: list) -> list[dict[str, list]]:
    """Values by column of each product that the grid consists of: one for entries that tell rows apart alike.

    Rows of one product leave empty what only the entries of another name.
    """
    groups: dict[frozenset, list] = {}
    anywhere = [entry for entry in entries if isinstance(entry.statistic, Among)]
    for entry in entries:
        if entry not in anywhere:
            groups.setdefault(frozenset(_named(entry)), []).append(entry)
    products, everywhere = [], _union(entries)
    for group in groups.values() or [[]]:
        named = _union([entry for entry in entries if entry in group or entry in anywhere])
        products.append({c: list(v) or list(everywhere[c]) or ["first", "second"] for c, v in named.items()})
    return products


def _union(entries: list) -> dict[str, dict]:
    union: dict[str, dict] = {}
    for entry in entries:
        for column, values in _named(entry).items():
            union.setdefault(column, {}).update(values)
    return union


def _grid(entries: list, units: int, generator: np.random.Generator) -> list[Row]:
    metrics: dict[str, None] = {}
    of_units: dict[str, None] = {}
    for entry in entries:
        statistic = entry.statistic
        if statistic.kind == "halves":
            of_units[statistic.factor] = None
        read = [statistic.metric, getattr(statistic, "minus", None), getattr(statistic, "by", None)]
        metrics.update(dict.fromkeys(filter(None, read)))
    products = _products(entries)
    columns = dict.fromkeys(_union(entries))
    rows: list[Row] = []
    for unit in range(units):
        of_unit = 0.05 * generator.standard_normal()
        for named, combination in [(p, c) for p in products for c in product(*p.values())]:
            rows.append(
                {
                    "run": f"r{len(rows):05d}",
                    "unit": f"u{unit:03d}",
                    **dict.fromkeys(of_units, unit % LEVELS),
                    **columns,
                    **dict(zip(named, combination, strict=True)),
                }
            )
            skewed = 0.03 * (generator.gamma(1.0, size=len(metrics)) - 1.0)
            rows[-1].update(zip(metrics, (CENTRE + of_unit + skewed).tolist(), strict=True))
    return rows


def matching(rows: list[Row], wanted: dict) -> list[Row]:
    return [
        r for r in rows if all(r[c] in v if isinstance(v, list) else r[c] == v for c, v in wanted.items())
    ]


def plant(part: Part, rows: list[Row], *, levels: bool = False) -> None:
    """Shift the treatment's metric so that the claimed effect is there."""
    statistic = part.statistic
    if isinstance(statistic, Among):
        for row in matching(rows, statistic.where):
            row[statistic.metric] = float(int(row["unit"][1:]) % 2)
        return
    if part.kind == "direction" and statistic.kind in ("range", "halves", "spread"):
        plant_without_conditions(
            statistic, (part.minimum + 0.15) * (1 if part.side == "higher" else -1), rows
        )
        return
    if part.kind == "direction":
        shift = (part.minimum + 0.15) * (1 if part.side == "higher" else -1)
        wanted = statistic.where | getattr(statistic, "treatment", {})
        if levels:  # which are planted on treatments, and must stay what they are
            wanted, shift = statistic.where | statistic.baseline, -shift
    elif part.kind == "level":
        wanted = statistic.where | statistic.treatment
        shift = statistic.published - float(np.mean([r[statistic.metric] for r in matching(rows, wanted)]))
    else:
        return
    for row in matching(rows, wanted):
        row[statistic.metric] += shift


def plant_without_conditions(statistic: Statistic, shift: float, rows: list[Row]) -> None:
    """Shift one level of a factor, the levels of one half, or the treatment up and down in turns."""
    for row in matching(rows, statistic.where):
        if statistic.kind == "halves":
            row[statistic.metric] += shift * (row[statistic.factor] < LEVELS // 2)
        elif statistic.kind == "spread" and matching([row], statistic.treatment):
            row[statistic.metric] += 2 * shift * (-1) ** int(row["unit"][1:])
        elif statistic.kind == "range" and row[statistic.factor] == rows[0][statistic.factor]:
            row[statistic.metric] += shift
            if statistic.by:
                row[statistic.by] += abs(shift)


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
