"""`reports/README.md`: every judged profile against every claim, how to read it, and the public contract."""

from collections import Counter
from pathlib import Path

from repro.claims.catalogue import Claim, load_claims
from repro.claims.verdicts import Verdict
from repro.harness.evidence.table import read_table
from repro.report import contract, papers
from repro.report.markdown import NONE, code, document, escape, link, table
from repro.report.places import FRONT, claim_place
from repro.report.report import read_verdicts
from repro.report.wording import MEANINGS, SYMBOLS, capital, verdict

Verdicts = dict[str, dict[str, Verdict]]


def overview(root: Path) -> str:
    """The text of `reports/README.md`."""
    profiles = _profiles(root)
    return document(
        [
            "# Reports",
            "Which of the papers' findings hold on this code, by profile: which data, models, grid and recipe a "
            "reproduction uses. This file and the reports it leads to are generated; `dvc repro` makes them anew.",
            "## Profiles",
            _summary(profiles),
            "## Claims",
            *_matrices(profiles),
            "## How to read a verdict",
            table(["", "Verdict", "Meaning"], [[SYMBOLS[v], v, MEANINGS[v]] for v in SYMBOLS], left=3),
            "A verdict comes from one rule, fixed before any evidence existed: Student's t interval of the mean paired "
            "effect over independent units, at level 1 - 0.05/m with m the number of that paper's claims, held against "
            "the claim's minimum effect or margin (0.05 in adversarial success rate, 0.03 in accuracy, 0.01 in AUC). A "
            "claim with several parts is reproduced only if all are, and contradicted if any is. *Reproduced* is about "
            "the claim's direction or equality on the profile's data; published levels are judged only where a profile "
            "uses the paper's own data and models. *Reported* is a comparison, such as a table of defences, of which "
            "the paper does not say how it comes out: its figures are shown with their intervals, none is judged, and "
            "it counts neither for the paper nor against it.",
            "## The files, for programs",
            *contract.blocks(_columns(root, profiles)),
        ]
    )


def _profiles(root: Path) -> Verdicts:
    found: Verdicts = {}
    for path in sorted((root / "reports").glob("*/verdicts.json")):
        verdicts = read_verdicts(root, path.parent.name)
        found[path.parent.name] = {v.id: v for v in verdicts or ()}
    return found


def _summary(profiles: Verdicts) -> str:
    if not profiles:
        return "*No profile is judged yet: `dvc repro` trains, judges and writes its report.*"
    rows = []
    for profile, verdicts in profiles.items():
        counts = Counter(v.verdict for v in verdicts.values())
        rows.append(
            [link(escape(profile), f"{profile}/{FRONT}"), *(str(counts[outcome]) for outcome in SYMBOLS)]
        )
    return table(["Profile", *(f"{SYMBOLS[o]} {capital(o)}" for o in SYMBOLS)], rows)


def _matrices(profiles: Verdicts) -> list[str]:
    """By paper, a table of its claims against the profiles."""
    claims = load_claims()
    known = dict.fromkeys([*claims, *(i for verdicts in profiles.values() for i in verdicts)])
    groups: dict[str, list[str]] = {paper: [] for paper in papers.order()}
    for claim_id in known:
        groups.setdefault(papers.of_claim(claims.get(claim_id), claim_id), []).append(claim_id)
    header = ["Claim", "Where", *map(escape, profiles)]
    blocks = []
    for paper, group in groups.items():
        rows = [_row(claims.get(claim_id), claim_id, profiles) for claim_id in group]
        blocks += [f"### {papers.title(paper)}", table(header, rows, left=len(header))] if rows else []
    return blocks


def _row(claim: Claim | None, claim_id: str, profiles: Verdicts) -> list[str]:
    title = escape(claim.title) if claim else NONE
    if claim and claim.headline:
        title = f"**{title}**"
    cells = [
        link(verdict(verdicts[claim_id].verdict), f"{profile}/{claim_place(claim_id)}")
        if claim_id in verdicts
        else NONE
        for profile, verdicts in profiles.items()
    ]
    return [f"{code(claim_id)} {title}", escape(claim.where) if claim else NONE, *cells]


def _columns(root: Path, profiles: Verdicts) -> dict[str, tuple[str, ...]]:
    """Columns of each experiment's evidence, from the first profile that has it."""
    columns: dict[str, tuple[str, ...]] = {}
    for profile in profiles:
        for path in sorted((root / "reports" / profile / "evidence").glob("*.csv")):
            if path.stem not in columns:
                columns[path.stem] = read_table(path).columns
    return columns
