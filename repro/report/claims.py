"""The claims in a report: the headline findings, all verdicts at a glance, and each claim with what it rests on."""

from collections import Counter
from collections.abc import Sequence

from repro.claims.catalogue import Beside, Claim, Part
from repro.claims.comparisons import Among, Exact
from repro.claims.explain import statistic_words
from repro.claims.sample import draw
from repro.claims.verdicts import PartVerdict, Verdict
from repro.report.markdown import NONE, SPACE, anchor, bullets, details, escape, link, table
from repro.report.report import Report
from repro.report.sections import experiment_title
from repro.report.wording import (
    SYMBOLS,
    arrow,
    capital,
    evidence_link,
    interval,
    listing,
    metric,
    number,
    percent,
    text,
    verdict,
)

HEADLINES = ("truong-09", "truong-12", "truong-24", "desanctis-08")
_MEASURED = ("reproduced", "contradicted", "inconclusive")
_SHOWN = (*_MEASURED, "reported")
_FOLD = 6


def counts(verdicts: Sequence[Verdict]) -> str:
    """How many claims have each verdict, in words."""
    found = Counter(v.verdict for v in verdicts)
    return listing([f"{found[outcome]} {outcome}" for outcome in SYMBOLS if found[outcome]])


def in_order(report: Report) -> list[tuple[Claim | None, Verdict]]:
    """Every verdict with its claim (None where that is gone): headlines, others measured, tables, then the rest."""
    pairs = [(report.claims.get(v.id), v) for v in report.verdicts or ()]

    def place(pair: tuple[Claim | None, Verdict]) -> tuple[int, int]:
        claim, judged = pair
        if judged.id in HEADLINES:
            return 0, HEADLINES.index(judged.id)
        if claim and claim.headline:
            return 1, 0
        return (2, 0) if judged.verdict in _MEASURED else (3 if judged.verdict in _SHOWN else 4, 0)

    return sorted(pairs, key=place)


def _levels(report: Report, entry: Part | Beside | None) -> tuple[float, float] | None:
    """Means of a comparison's baseline and treatment; None where the statistic compares no two conditions."""
    if entry is None or entry.statistic.kind != "contrast" or entry.experiment not in report.tables:
        return None
    return draw(entry.statistic, report.tables[entry.experiment], entry.experiment).means


def summary(report: Report) -> list[str]:
    """The counts, and the headline findings, first those that the papers make most of."""
    verdicts = report.verdicts
    if verdicts is None:
        return ["*Nothing is judged yet: `dvc repro` writes `verdicts.json`.*"]
    measured = [v for v in verdicts if v.verdict in _MEASURED]
    first = (
        f"Of {len(verdicts)} claims, {len(measured)} are measured here: {counts(measured)}."
        if measured
        else ""
    )
    tables = sum(v.verdict == "reported" for v in verdicts)
    if tables:
        first += (
            f" Not judged but reported, as a comparison of which the paper asserts no direction: {tables}."
        )
    rest = [v for v in verdicts if v.verdict not in _SHOWN]
    if rest:
        first += f" Of the others, {counts(rest)}."
    headline = [(c, v) for c, v in in_order(report) if v.id in HEADLINES or (c and c.headline)]
    return [first.strip(), bullets(_finding(report, *pair) for pair in headline)]


def _finding(report: Report, claim: Claim | None, judged: Verdict) -> str:
    """One headline claim: verdict, published figure, and ours part by part."""
    title = claim.title if claim else judged.id
    line = f"**{escape(title)}** ({link(judged.id, f'#{judged.id}')}): **{verdict(judged.verdict)}**."
    if judged.published:
        line += f" Published: {escape(judged.published)}."
    entries = _entries(claim)
    found = []
    several = sum(part.verdict is not None and part.estimate is not None for part in judged.parts) > 1
    for part in judged.parts:
        if part.estimate is None or part.kind == "exact":
            continue
        levels = _levels(report, entries.get(part.name))
        means = f"{arrow(*levels, 3)}, difference " if levels else ""
        standing = f" ({_outcome(part)})" if part.verdict is None or several else ""
        found.append(f"{escape(capital(part.name))}: {means}{_figure(part)}{standing}")
    if not found:
        return f"{line} {_sentence(judged.reason)}"
    sample = f"Here, with the {percent(judged.level)} interval over {judged.n} units:"
    return "\n".join([f"{line} {sample}", *(f"  - {words}." for words in found)])


def _entries(claim: Claim | None) -> dict[str, Part | Beside]:
    return {entry.name: entry for entry in claim.entries} if claim else {}


def _figure(part: PartVerdict) -> str:
    signed = part.kind != "level"
    return f"{number(part.estimate, 3, signed=signed)}{SPACE}{interval(part.interval, signed=signed)}"


def _sentence(words: str) -> str:
    return escape(capital(words)) + ("" if words.endswith(".") else ".")


def at_a_glance(report: Report) -> list[str]:
    """A table of every claim with its verdict, estimate and interval."""
    if report.verdicts is None:
        return []
    rows = [
        [
            f"{link(judged.id, f'#{judged.id}')} {escape(claim.title) if claim else ''}".strip(),
            verdict(judged.verdict),
            _estimate(claim, judged),
            f"{judged.n:,}" if judged.n else NONE,
        ]
        for claim, judged in in_order(report)
    ]
    return [table(["Claim", "Verdict", "Estimate and interval", "n"], rows, left=2)]


def _deciding(judged: Verdict) -> PartVerdict | None:
    """The part whose figures are the claim's."""
    return next((part for part in judged.parts if part.verdict == judged.verdict), None)


def _estimate(claim: Claim | None, judged: Verdict) -> str:
    """What the deciding part measures, with its estimate and interval."""
    part = _deciding(judged)
    if part is None or part.estimate is None:
        return NONE
    entry = _entries(claim).get(part.name)
    if part.kind == "exact" or entry is None or isinstance(entry.statistic, Exact | Among):
        return f"{number(100 * part.estimate, 0)} % of rows hold" if part.kind == "exact" else _figure(part)
    return f"{escape(metric(entry.statistic.metric, entry.statistic.minus))} {_figure(part)}"


def one_by_one(report: Report) -> list[str]:
    """Every claim that was judged or reported: its parts, cells, and how near its verdict is to turning."""
    blocks = []
    for claim, judged in in_order(report):
        if judged.verdict in _SHOWN:
            blocks += _claim(report, claim, judged)
    return blocks


def _claim(report: Report, claim: Claim | None, judged: Verdict) -> list[str]:
    title = f"{judged.id}: {escape(claim.title)}" if claim else judged.id
    facts = [f"Verdict: **{verdict(judged.verdict)}**. {_sentence(judged.reason)}"]
    facts.append(f"Published: {text(judged.published)}")
    if claim:
        headline = "; a headline claim" if claim.headline else ""
        facts.insert(0, f"{escape(claim.paper)}, {escape(claim.where)} ({escape(claim.kind)}{headline})")
        seen = [
            f"{link(experiment_title(report, e), f'#{e}')}, {evidence_link(e)}"
            for e in claim.experiments
            if e in report.tables
        ]
        facts.append(f"Rests on: {'; '.join(seen)}")
    blocks = [anchor(judged.id), f"### {title}", escape(claim.text) if claim else "", bullets(facts)]
    entries = _entries(claim)
    parts = [part for part in judged.parts if part.estimate is not None]
    if parts and judged.verdict == "reported":
        blocks.append(_figures(parts, entries, judged.level))
    elif parts:
        blocks.append(_parts(parts, judged.level))
    left_out = [part for part in judged.parts if part.estimate is None]
    if left_out:
        blocks.append(bullets(f"{escape(p.name)}: {_outcome(p)}. {_sentence(p.reason)}" for p in left_out))
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
    if levels := _levels(report, entry):
        head += f"; baseline \u2192 treatment {arrow(*levels, 3)}"
    if any(cell.agrees is not None for cell in part.cells):
        head += f". {sum(cell.agrees is True for cell in part.cells)} of {len(part.cells)} cells agree"
    signed = part.kind != "level"
    words = {True: "yes", False: "no", None: NONE}
    rows = [
        [escape(c.cell), number(c.estimate, 3, signed=signed), f"{c.n}", words[c.agrees]] for c in part.cells
    ]
    return [f"{head}.", table(["Cell", "Estimate", "n", "Agrees"], rows)]


def not_measured(report: Report) -> list[str]:
    """The claims without a verdict from evidence, each with the reason."""
    rows = [
        [
            f"{anchor(judged.id)}{judged.id} {escape(claim.title) if claim else ''}".strip(),
            f"{escape(claim.where)}" if claim else NONE,
            verdict(judged.verdict),
            text(judged.reason),
        ]
        for claim, judged in in_order(report)
        if judged.verdict not in _SHOWN
    ]
    if not rows:
        return ["Every claim is measured."] if report.verdicts else []
    return [table(["Claim", "Where", "Verdict", "What is missing, or why not"], rows, left=4)]
