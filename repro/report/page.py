"""`reports/<profile>/README.md`: the order in which a reviewer reads it."""

from repro.report import claims, provenance, setup
from repro.report.markdown import bullets, document, escape, link
from repro.report.papers import additions
from repro.report.report import Report
from repro.report.sections import in_order, section_blocks
from repro.report.wording import MEANINGS, SYMBOLS


def page(report: Report) -> str:
    """The profile's report as Markdown; its figures are kept in the report."""
    profile = report.profile
    experiments = in_order(report)
    return document(
        [
            f"# Report: {escape(profile.name)}",
            f"*{escape(profile.title)}.* Generated from the evidence beside it; "
            f"{link('how to read it', '../README.md#how-to-read-a-verdict')}.",
            *setup.head(report),
            "## In short",
            *claims.summary(report),
            "## Contents",
            _contents(report, experiments),
            "## What differs from the paper",
            *additions(report, "departures"),
            "## Claims at a glance",
            "The interval is the judge's, at the claim's own level. "
            + "; ".join(f"{SYMBOLS[v]} *{v}*: {MEANINGS[v]}" for v in SYMBOLS)
            + ".",
            *claims.at_a_glance(report),
            "## Experiments",
            "Means over independent units; \u201c±\u201d is a 95 % interval (Student's t over units), so that a reader "
            "can see the spread. Verdicts rest on the wider intervals of the claims' own level.",
            "### The triggers",
            *additions(report, "pictures"),
            *(block for experiment in experiments for block in section_blocks(report, experiment)),
            "## Where the paper contradicts itself",
            *additions(report, "contradictions"),
            "## Claims, one by one",
            "*Estimate* is the mean paired effect over cells and units; beside the judge's interval stand the 95 % "
            "interval and, as a check on Student's t, the studentised bootstrap's at the judge's level. *Turns by* is "
            "by how much the interval would have to move for another verdict.",
            *claims.one_by_one(report),
            "## Not measured yet",
            *claims.not_measured(report),
            "## Provenance",
            *provenance.blocks(report),
        ]
    )


def _contents(report: Report, experiments: list[str]) -> str:
    return bullets(
        [
            link("What differs from the paper", "#what-differs-from-the-paper"),
            link("Claims at a glance", "#claims-at-a-glance"),
            f"{link('Experiments', '#experiments')}: "
            + ", ".join(link(escape(e.replace("_", " ")), f"#{e}") for e in experiments),
            link("Where the paper contradicts itself", "#where-the-paper-contradicts-itself"),
            link("Claims, one by one", "#claims-one-by-one"),
            link("Not measured yet", "#not-measured-yet"),
            link("Provenance", "#provenance"),
        ]
    )
