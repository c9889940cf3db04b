"""The claims of a report one by one: what each rests on, and how near its verdict is to turning."""

from collections.abc import Sequence

from repro.claims.catalogue import Beside, Claim, Part
from repro.claims.comparisons import Among, Exact
from repro.claims.explain import statistic_words
from repro.claims.rules import Outcome
from repro.claims.sample import draw
from repro.claims.verdicts import PartVerdict, Verdict
from repro.report import papers
from repro.report.markdown import NONE, SPACE, anchor, bullets, details, escape, link, table
from repro.report.papers import Judged
from repro.report.places import experiment_page
from repro.report.report import Report
from repro.report.sections import experiment_title
from repro.report.wording import (
    arrow,
    capital,
    evidence_link,
    interval,
    metric,
    number,
    percent,
    text,
    verdict,
)

MEASURED: tuple[Outcome, ...] = ("reproduced", "contradicted", "inconclusive")
_SHOWN = (*MEASURED, "reported")
_FOLD = 6


def in_order(report: Report) -> list[Judged]:
    """Every verdict with its claim (None where that is gone): headlines, others measured, tables, then the rest."""

    def place(pair: Judged) -> int:
        claim, judged = pair
        if claim and claim.headline:
            return 0
        return 1 if judged.verdict in MEASURED else 2 if judged.verdict in _SHOWN else 3

    return sorted(((report.claims.get(v.id), v) for v in report.verdicts or ()), key=place)


def means(report: Report, entry: Part | Beside | None) -> tuple[float, float] | None:
    """Means of a comparison's baseline and treatment; None where the statistic compares no two conditions."""
    if entry is None or entry.statistic.kind != "contrast" or entry.experiment not in report.tables:
        return None
    return draw(entry.statistic, report.tables[entry.experiment], entry.experiment).means


def entries_of(claim: Claim | None) -> dict[str, Part | Beside]:
    """A claim's parts and figures beside, by name."""
    return {entry.name: entry for entry in claim.entries} if claim else {}


def figure(part: PartVerdict) -> str:
    """A part's estimate with the judge's interval."""
    signed = part.kind != "level"
    return f"{number(part.estimate, 3, signed=signed)}{SPACE}{interval(part.interval, signed=signed)}"


def full_sentence(words: str) -> str:
    """The judge's words as a sentence of Markdown."""
    return escape(capital(words)) + ("" if words.endswith(".") else ".")


def blocks(report: Report) -> list[str]:
    """Every claim, paper by paper: first those judged or reported, then those that are not measured."""
    found: list[str] = []
    for paper, group in papers.claims(in_order(report)).items():
        found += [anchor(paper), f"## {papers.title(paper)}"]
        for claim, judged in group:
            if judged.verdict in _SHOWN:
                found += _claim(report, claim, judged)
        found += _not_measured([pair for pair in group if pair[1].verdict not in _SHOWN])
    return found


def _claim(report: Report, claim: Claim | None, judged: Verdict) -> list[str]:
    title = f"{judged.id}: {escape(claim.title)}" if claim else judged.id
    facts = [f"Verdict: **{verdict(judged.verdict)}**. {full_sentence(judged.reason)}"]
    facts.append(f"Published: {text(judged.published)}")
    if claim:
        headline = "; a headline claim" if claim.headline else ""
        facts.insert(0, f"{escape(claim.paper)}, {escape(claim.where)} ({escape(claim.kind)}{headline})")
        seen = [
            f"{link(experiment_title(report, e), experiment_page(e))}, {evidence_link(e)}"
            for e in claim.experiments
            if e in report.tables
        ]
        facts.append(f"Rests on: {'; '.join(seen)}")
    blocks = [anchor(judged.id), f"### {title}", escape(claim.text) if claim else "", bullets(facts)]
    entries = entries_of(claim)
    parts = [part for part in judged.parts if part.estimate is not None]
    if parts and judged.verdict == "reported":
        blocks.append(_figures(parts, entries, judged.level))
    elif parts:
        blocks.append(_parts(parts, judged.level))
    left_out = [part for part in judged.parts if part.estimate is None]
    if left_out:
        blocks.append(
            bullets(f"{escape(p.name)}: {_outcome(p)}. {full_sentence(p.reason)}" for p in left_out)
        )
    cells = [_cells(report, part, entries.get(part.name)) for part in parts if part.cells]
    if cells:
        lines = sum(len(part.cells) for part in parts)
        flat = [block for group in cells for block in group]
        blocks += flat if lines <= _FOLD else [details(f"Cells ({lines})", *flat)]
    return blocks


def _outcome(part: PartVerdict) -> str:
    return verdict(part.verdict) if part.verdict else "beside the claim, not judged"


def _parts(parts: Sequence[PartVerdict], level: float) -> str:
    rows = []
    for part in parts:
        signed = part.kind != "level"
        exact = part.kind == "exact"
        rows.append(
            [
                escape(part.name),
                _outcome(part) if part.verdict else "beside",
                f"{number(100 * (part.estimate or 0), 0)} %"
                if exact
                else number(part.estimate, 3, signed=signed),
                interval(part.interval, signed=signed),
                interval(part.interval95, signed=signed),
                interval(part.bootstrap, signed=signed),
                f"{part.n:,}",
                number(part.turning, 3),
            ]
        )
    header = [
        "Part",
        "Verdict",
        "Estimate",
        f"{percent(level)} interval",
        "95 %",
        "Bootstrap",
        "n",
        "Turns by",
    ]
    return table(header, rows, left=2)


def _figures(parts: Sequence[PartVerdict], entries: dict[str, Part | Beside], level: float) -> str:
    """A table's figures, none of them judged."""
    rows = []
    for part in parts:
        entry = entries.get(part.name)
        of = metric(entry.statistic.metric, entry.statistic.minus) if isinstance(entry, Beside) else None
        rows.append(
            [
                escape(part.name),
                text(of),
                number(part.estimate, 3, signed=True),
                interval(part.interval),
                interval(part.interval95),
                interval(part.bootstrap),
                f"{part.n:,}",
            ]
        )
    header = ["Figure", "Of", "Estimate", f"{percent(level)} interval", "95 %", "Bootstrap", "n"]
    return table(header, rows, left=2)


def _cells(report: Report, part: PartVerdict, entry: Part | Beside | None) -> list[str]:
    """A part's cells, and how many agree with the claim."""
    head = f"**{escape(part.name)}**"
    if entry is not None and not isinstance(entry.statistic, Exact | Among):
        head += f": {escape(statistic_words(entry.statistic))}"
    if levels := means(report, entry):
        head += f"; baseline \u2192 treatment {arrow(*levels, 3)}"
    if any(cell.agrees is not None for cell in part.cells):
        head += f". {sum(cell.agrees is True for cell in part.cells)} of {len(part.cells)} cells agree"
    signed = part.kind != "level"
    words = {True: "yes", False: "no", None: NONE}
    rows = [
        [escape(c.cell), number(c.estimate, 3, signed=signed), f"{c.n}", words[c.agrees]] for c in part.cells
    ]
    return [f"{head}.", table(["Cell", "Estimate", "n", "Agrees"], rows)]


def _not_measured(group: Sequence[Judged]) -> list[str]:
    """The claims without a verdict from evidence, each with the reason."""
    rows = [
        [
            f"{anchor(judged.id)}{judged.id} {escape(claim.title) if claim else ''}".strip(),
            f"{escape(claim.where)}" if claim else NONE,
            verdict(judged.verdict),
            text(judged.reason),
        ]
        for claim, judged in group
    ]
    if not rows:
        return []
    header = ["Claim", "Where", "Verdict", "What is missing, or why not"]
    return ["### Not measured here, or not applicable", table(header, rows, left=4)]
