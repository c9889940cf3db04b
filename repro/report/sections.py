"""An experiment's own section of the report: the file ``section.py`` in its folder.

A section defines ``TITLE``, ``PLACE`` (sections come in its order) and ``blocks(report, evidence)``, the Markdown
blocks under its heading. An experiment without a file here is shown as a plain table of its figures
(``repro.report.plain_section``).
"""

import importlib
from typing import Protocol, cast

from repro import plugins
from repro.harness.evidence.table import Table
from repro.report import plain_section
from repro.report.markdown import escape, link
from repro.report.places import UP, claim_place
from repro.report.report import Report
from repro.report.wording import evidence_link, sentence

LAST = 1000


class Section(Protocol):
    """What a section's module defines."""

    TITLE: str
    PLACE: int

    def blocks(self, report: Report, evidence: Table) -> list[str]:
        """The section's Markdown blocks, below its heading."""


def own_section(experiment: str) -> Section | None:
    """The experiment's own section, None when it has none."""
    if experiment not in plugins.names("experiment"):
        return None
    if not plugins.file_of("experiment", experiment).with_name("section.py").is_file():
        return None
    return cast(Section, importlib.import_module(plugins.module_name("experiment", experiment) + ".section"))


def in_order(report: Report) -> list[str]:
    """Every experiment in the report, ordered by its section's place."""
    places = {
        name: section.PLACE if (section := own_section(name)) else LAST for name in report.experiments()
    }
    return sorted(places, key=lambda name: (places[name], name))


def section_blocks(report: Report, experiment: str) -> list[str]:
    """Heading and blocks of an experiment's page; if its evidence is missing, a note says so instead."""
    own = own_section(experiment)
    heading = f"# {experiment_title(report, experiment)}"
    evidence = report.tables.get(experiment)
    if evidence is None or experiment in report.left_out:
        return [heading, _missing(report, experiment)]
    blocks = own.blocks(report, evidence) if own else plain_section.blocks(evidence)
    return [heading, *blocks, _source(report, experiment, evidence)]


def experiment_title(report: Report, experiment: str) -> str:
    """The title of an experiment's section, as Markdown."""
    own = own_section(experiment)
    return own.TITLE if own else escape(report.experiment_title(experiment))


def _missing(report: Report, experiment: str) -> str:
    if experiment in report.left_out:
        return f"*Left out of this profile: {sentence(report.left_out[experiment])}*"
    if experiment not in report.profile.experiments:
        return f"*Not measured: this profile does not run the experiment `{experiment}`.*"
    return f"*No evidence yet: `dvc repro` makes `evidence/{experiment}.csv`.*"


def _source(report: Report, experiment: str, evidence: Table) -> str:
    claims = [claim.id for claim in report.claims.values() if experiment in claim.experiments]
    links = ", ".join(link(c, UP + claim_place(c)) for c in claims)
    judged = f" Claims judged on it: {links}." if claims else ""
    rows = f"{len(evidence):,} rows"
    if "unit" in evidence.columns:
        units = sum(unit is not None for unit in evidence.values("unit"))
        rows += f", {units} units" if units else ""
    return f"Evidence: {evidence_link(experiment, prefix=UP)} ({rows}).{judged}"
