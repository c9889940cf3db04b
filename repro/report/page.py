"""The pages of a profile's report: what was found, and behind it the claims, the set-up and one page per experiment."""

from repro.report import claims, findings, papers, provenance, setup
from repro.report.markdown import bullets, document, escape, link, table
from repro.report.places import CLAIMS, FRONT, SETUP, UP, claim_place, experiment_page
from repro.report.report import Report
from repro.report.sections import experiment_title, section_blocks
from repro.report.wording import capital, sentence

_MEANS = (
    "Means are over independent units; \u201c\u00b1\u201d is a 95 % interval (Student's t over units). Verdicts rest "
    "on the wider intervals of the claims' own level."
)


def pages(report: Report) -> dict[str, str]:
    """Every page's Markdown by its place below the profile's folder; the figures are kept in the report."""
    experiments = [e for group in papers.experiments(report).values() for e in group]
    found = {experiment_page(e): _experiment(report, e, experiments) for e in experiments}
    return {FRONT: _front(report), CLAIMS: _claims(report), SETUP: _setup(report), **found}


def _front(report: Report) -> str:
    profile = report.profile
    judged = report.verdicts
    return document(
        [
            f"# Report: {escape(profile.name)}",
            f"*{escape(capital(profile.title))}.* Generated from the evidence beside it; "
            f"{link('how to read it', '../README.md#how-to-read-a-verdict')}.",
            findings.NOTHING if judged is None else findings.counted(judged),
            *setup.head(report),
            *_under("## Headline claims", findings.headlines(report) if judged else []),
            *(["## All verdicts", *findings.at_a_glance(report)] if judged else []),
            "## Behind this page",
            bullets(
                [
                    f"{link('Claims, one by one', CLAIMS)}: each one's parts and cells, and how near its verdict is to "
                    "turning",
                    f"{link('Set-up', SETUP)}: what differs from the papers, the triggers, where a paper contradicts "
                    "itself, provenance",
                    "the experiments, one page each:",
                ]
            ),
            *_experiments(report),
        ]
    )


def _experiments(report: Report) -> list[str]:
    """By paper, each experiment's page and the claims that rest on it."""
    blocks = []
    for paper, group in papers.experiments(report).items():
        rows = []
        for experiment in group:
            judged = [c.id for c in report.claims.values() if experiment in c.experiments]
            cell = ", ".join(link(claim_id, claim_place(claim_id)) for claim_id in judged)
            if experiment in report.left_out:
                cell = f"*left out: {sentence(report.left_out[experiment])}*"
            elif experiment not in report.tables:
                cell = "*no evidence*"
            rows.append([link(experiment_title(report, experiment), experiment_page(experiment)), cell])
        blocks.append(table([papers.title(paper), "Claims that rest on it"], rows, left=2))
    return blocks


def _claims(report: Report) -> str:
    return document(
        [
            _up(report, ""),
            f"# Claims, one by one: {escape(report.profile.name)}",
            "*Estimate* is the mean paired effect over cells and units; beside the judge's interval stand the 95 % "
            "interval and, as a check on Student's t, the studentised bootstrap's at the judge's level. *Turns by* is "
            "by how much the interval would have to move for another verdict.",
            *(claims.blocks(report) if report.verdicts is not None else [findings.NOTHING]),
        ]
    )


def _setup(report: Report) -> str:
    return document(
        [
            _up(report, ""),
            f"# Set-up: {escape(report.profile.name)}",
            *_of_papers(report, "What differs from the paper", "departures"),
            *(["## Left out", *setup.left_out(report)] if report.left_out else []),
            *_of_papers(report, "The triggers", "pictures"),
            *_of_papers(report, "Where the paper contradicts itself", "contradictions"),
            "## Provenance",
            *provenance.blocks(report),
        ]
    )


def _of_papers(report: Report, heading: str, what: papers.Addition) -> list[str]:
    """What single papers add under a heading, in the papers' order."""
    blocks = []
    for paper, added in papers.additions(report, what):
        blocks += [f"*{papers.title(paper)}*", *added]
    return _under(f"## {heading}", blocks)


def _under(heading: str, blocks: list[str]) -> list[str]:
    """Blocks under their heading, and neither where there are none."""
    return [heading, *blocks] if blocks else []


def _experiment(report: Report, experiment: str, among: list[str]) -> str:
    way = _way(report, experiment, among)
    shown = experiment in report.tables and experiment not in report.left_out
    return document([way, *section_blocks(report, experiment), _MEANS if shown else "", way])


def _way(report: Report, experiment: str, among: list[str]) -> str:
    """Links to the experiments before and after, and up to the report."""
    place = among.index(experiment)
    before, after = among[place - 1 : place] if place else [], among[place + 1 : place + 2]
    links = [
        *(link(f"\u2190 {experiment_title(report, e)}", f"{e}.md") for e in before),
        _up(report, UP),
        *(link(f"{experiment_title(report, e)} \u2192", f"{e}.md") for e in after),
    ]
    return " \u00b7 ".join(links)


def _up(report: Report, up: str) -> str:
    return link(f"\u2191 Report: {escape(report.profile.name)}", up + FRONT)
