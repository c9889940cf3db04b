"""What was found, first: how many claims have which verdict, the headline claims with a picture each, all verdicts."""

from collections import Counter
from collections.abc import Sequence

from repro.claims.catalogue import Claim, Part
from repro.claims.comparisons import Among, Exact
from repro.claims.rules import Outcome
from repro.claims.verdicts import PartVerdict, Verdict
from repro.report import papers
from repro.report.claims import MEASURED, entries_of, figure, full_sentence, in_order, means
from repro.report.conditions import Conditions, conditions
from repro.report.headline_pictures import against_minimum, cell_by_cell
from repro.report.markdown import NONE, bullets, escape, link, table
from repro.report.places import claim_place
from repro.report.report import Report
from repro.report.wording import SYMBOLS, arrow, capital, metric, number, percent, verdict

_REPORTED = {"reported": "reported only"}
_READING = (
    "*Each effect with the judge's interval, in units of its claim's minimum effect, positive where the claim says. A "
    "claim is reproduced where the whole interval lies beyond 1, and contradicted where it lies below 0 or wholly "
    "between \u22121 and 1.*"
)
NOT_MEASURED: Outcome = "not measured"
NOTHING = "*Nothing is judged yet: `dvc repro` writes `verdicts.json`.*"


def counted(verdicts: Sequence[Verdict]) -> str:
    """How many claims have each verdict: `51 claims: 24 reproduced, 14 contradicted, 8 inconclusive; 2 ...`."""
    found = Counter(v.verdict for v in verdicts)
    judged = ", ".join(f"{found[outcome]} {outcome}" for outcome in MEASURED)
    others = [o for o in SYMBOLS if o not in MEASURED and found[o]]
    rest = "".join(f"; {found[o]} {_REPORTED.get(o, o)}" for o in others)
    return f"{len(verdicts)} claim{'' if len(verdicts) == 1 else 's'}: **{judged}**{rest}."


def headlines(report: Report) -> list[str]:
    """The headline claims, paper by paper, below a picture of them all: verdict, figures, and a picture each."""
    pairs = [(claim, judged) for claim, judged in in_order(report) if claim and claim.headline]
    sides = {claim.id: compared(report, claim, judged) for claim, judged in pairs}
    grouped = papers.claims(pairs)
    every = [(c, of) for group in grouped.values() for c, _ in group if c for of in sides[c.id]]
    overview = against_minimum(report, every)
    blocks = [overview, _READING] if overview else []
    for paper, group in grouped.items():
        blocks.append(f"### {papers.title(paper)}")
        for claim, judged in group:
            if claim:
                blocks += _headline(report, claim, judged, sides[claim.id])
    return blocks


def compared(report: Report, claim: Claim, judged: Verdict) -> list[Conditions]:
    """The conditions of each of a claim's judged parts that compares two."""
    parts = {part.name: part for part in claim.parts}
    known = [(parts[p.name], p) for p in judged.parts if p.name in parts and p.verdict]
    return [found for part, p in known if (found := conditions(report, part, p))]


def _headline(report: Report, claim: Claim, judged: Verdict, compared: Sequence[Conditions]) -> list[str]:
    """One headline claim: verdict, published figure, each judged part's figures, and the picture."""
    line = f"**{verdict(judged.verdict)}: {link(escape(claim.title), claim_place(claim.id))}.**"
    if judged.published:
        line += f" Published: {escape(judged.published)}."
    parts = [p for p in judged.parts if p.verdict and p.estimate is not None and p.kind != "exact"]
    if not parts:
        return [f"{line} {full_sentence(judged.reason)}"]
    line += f" Here, with the {percent(judged.level)} interval over {judged.n} units:"
    by_name = {of.part.name: of for of in compared}
    found = [_part(report, claim, p, by_name.get(p.name), several=len(parts) > 1) for p in parts]
    picture = [cell_by_cell(report, claim, compared)] if compared else []
    return [f"{line}\n\n{bullets(found)}", *picture]


def _part(report: Report, claim: Claim, part: PartVerdict, of: Conditions | None, *, several: bool) -> str:
    """A judged part in one line: both conditions, their difference, what is claimed, and the floor."""
    entry = entries_of(claim).get(part.name)
    levels = means(report, entry)
    words = f"{escape(capital(part.name))}: "
    words += f"{arrow(*levels, 3)}, difference " if levels else ""
    words += figure(part)
    if several and part.verdict:
        words += f" ({verdict(part.verdict)})"
    if isinstance(entry, Part) and entry.minimum:
        words += f". Claimed: {entry.side} by more than {entry.minimum:g}"
    if of and of.floor and (floor := of.floor.line[-1]):
        words += f". Floor: {number(floor.mean)} ({of.floor.words})"
    return f"{words}."


def at_a_glance(report: Report) -> list[str]:
    """By paper, the count, a table of verdicts with estimate and interval, and which claims are not measured."""
    blocks = []
    for paper, group in papers.claims(in_order(report)).items():
        rows = [_row(*pair) for pair in group if pair[1].verdict != NOT_MEASURED]
        absent = sorted(link(v.id, claim_place(v.id)) for _, v in group if v.verdict == NOT_MEASURED)
        blocks += [
            f"### {papers.title(paper)}",
            counted([judged for _, judged in group]),
            table(["Claim", "Verdict", "Estimate and interval", "n"], rows, left=2) if rows else "",
            f"Not measured here: {', '.join(absent)}." if absent else "",
        ]
    return blocks


def _row(claim: Claim | None, judged: Verdict) -> list[str]:
    title = escape(claim.title) if claim else ""
    return [
        f"{link(judged.id, claim_place(judged.id))} {title}".strip(),
        verdict(judged.verdict),
        _estimate(claim, judged),
        f"{judged.n:,}" if judged.n else NONE,
    ]


def _estimate(claim: Claim | None, judged: Verdict) -> str:
    """What the deciding part measures, with its estimate and interval."""
    part = next((part for part in judged.parts if part.verdict == judged.verdict), None)
    if part is None or part.estimate is None:
        return NONE
    entry = entries_of(claim).get(part.name)
    if part.kind == "exact" or entry is None or isinstance(entry.statistic, Exact | Among):
        return f"{number(100 * part.estimate, 0)} % of rows hold" if part.kind == "exact" else figure(part)
    return f"{escape(metric(entry.statistic.metric, entry.statistic.minus))} {figure(part)}"
