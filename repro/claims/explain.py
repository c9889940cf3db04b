"""`repro explain CLAIM`: text, place, what was compared in how many rows, and how near the verdict is to turning."""

from pathlib import Path

from repro.claims.catalogue import Beside, Part, load_claim
from repro.claims.comparisons import Among, Exact
from repro.claims.exactness import rows_of
from repro.claims.facts import profile_facts
from repro.claims.judge import judge, read_tables
from repro.claims.sample import Measured, draw, wording
from repro.claims.verdicts import PartVerdict
from repro.harness.evidence.fingerprint import staleness
from repro.harness.evidence.table import Table


def explain(root: Path, profile_name: str, claim_id: str) -> str:
    """The claim, its evidence in the profile and its verdict, as plain text of several lines."""
    claim, facts = load_claim(claim_id), profile_facts(root, profile_name)
    tables = read_tables(root, facts, {claim_id: claim})
    verdict = judge(claim, tables, facts)
    lines = [
        f"{claim.id}: {claim.title}",
        f"  {claim.text}",
        f"  in {claim.paper}, {claim.where}; {claim.kind}{'; a headline claim' if claim.headline else ''}",
        f"  published: {claim.published or 'no figure'}",
        f"verdict in profile {profile_name}: {verdict.verdict} ({verdict.reason})",
    ]
    for experiment in claim.experiments:
        if experiment in facts.experiments and (stale := staleness(root, profile_name, experiment)):
            lines.append(f"but {stale}")
    for entry, figures in zip(claim.entries, verdict.parts, strict=bool(verdict.parts)):
        lines += ["", *_part(entry, figures, tables)]
    return "\n".join(lines)


def _part(entry: Part | Beside, figures: PartVerdict, tables: dict[str, Table]) -> list[str]:
    lines = [f"{entry.name}: {figures.verdict or 'not judged'}"]
    if figures.estimate is None:
        return [*lines, f"  {figures.reason}"]
    table = tables[entry.experiment]
    if isinstance(entry.statistic, Exact | Among):
        rows = len(rows_of(entry.statistic, table, entry.experiment))
        checks = _checks(entry.statistic)
        return [*lines, f"  {checks} of {entry.experiment}.csv: {rows} rows", f"  {figures.reason}"]
    sample = draw(entry.statistic, table, entry.experiment)
    lines += [
        f"  {statistic_words(entry.statistic)}; {_rule_words(entry)}",
        f"  {entry.experiment}.csv: {sample.rows} rows, {figures.n} units, {len(figures.cells)} cells",
        f"  estimate {figures.estimate:+.4f}",
        f"  {_interval('t interval', figures.interval, figures.level)}",
        f"  {_interval('t interval', figures.interval95, 0.95)}",
        f"  {_interval('studentised bootstrap', figures.bootstrap, figures.level)}",
    ]
    if isinstance(entry, Part):
        agreeing = sum(bool(cell.agrees) for cell in figures.cells)
        lines.append(f"  {agreeing} of {len(figures.cells)} cells agree; {figures.reason}")
    for cell in figures.cells:
        mark = {True: "agrees", False: "does not agree", None: ""}[cell.agrees]
        lines.append(f"    {cell.cell}: {cell.estimate:+.4f} (n {cell.n}) {mark}".rstrip())
    if figures.turning is not None:
        lines.append(f"  the verdict turns if the interval moves by {figures.turning:.4f}")
    return lines


def _checks(statistic: Exact | Among) -> str:
    if isinstance(statistic, Exact):
        return f"checks {', '.join(statistic.checks)}"
    allowed = " or ".join(f"{value:g}" for value in statistic.allowed)
    return f"{statistic.metric} is {allowed} in every row with {wording(statistic.where)}"


def statistic_words(statistic: Measured) -> str:
    """What a statistic compares, in words."""
    metric = f"({statistic.metric} - {statistic.minus})" if statistic.minus else statistic.metric
    if statistic.kind == "spread":
        metric = f"distance of {metric} from its median"
    if statistic.kind in ("contrast", "spread"):
        metric += f", {wording(statistic.treatment)} against {wording(statistic.baseline)}"
    elif statistic.kind == "constant":
        metric += f" - {statistic.value:g}"
    elif statistic.kind == "range":
        by = f" in {statistic.by}" if statistic.by else ""
        metric += f", {statistic.factor} highest{by} against lowest (chosen on half of the units)"
    elif statistic.kind == "halves":
        metric += f", higher half by {statistic.factor} against the lower (chosen on half of the units)"
    elif statistic.kind == "level":
        metric += f", {wording(statistic.treatment)}"
    return f"{metric}, where {wording(statistic.where)}" if statistic.where else metric


def _rule_words(entry: Part | Beside) -> str:
    if isinstance(entry, Beside):
        return "not judged"
    if entry.kind == "direction":
        return f"claimed {entry.side} by more than {entry.minimum:g}"
    return f"claimed {entry.kind}, margin {entry.margin:g}"


def _interval(name: str, interval: tuple[float, float] | None, level: float) -> str:
    shown = f"[{interval[0]:+.4f}, {interval[1]:+.4f}]" if interval else "none"
    return f"{100 * level:.2f} % {name} {shown}"
