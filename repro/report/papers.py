"""What belongs to which paper, in one order everywhere; and what a paper adds to a report beside its experiments.

What it adds is in the file ``report.py`` in its folder: functions that give Markdown blocks of a report, each optional.
``departures``: what a profile does differently from the paper; ``pictures``: what its attacks look like on the
profile's data; ``contradictions``: where the paper disagrees with itself.
"""

import importlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal

from repro import plugins
from repro.claims.catalogue import Claim, load_claims
from repro.claims.verdicts import Verdict
from repro.report.markdown import escape
from repro.report.report import Report
from repro.report.sections import LAST, in_order, own_section

NONE = ""
"""The paper of an experiment that only a table of evidence knows."""
Addition = Literal["departures", "pictures", "contradictions"]
Judged = tuple[Claim | None, Verdict]


def of_experiment(experiment: str) -> str:
    """Key of the paper that an experiment is about."""
    if experiment not in plugins.names("experiment"):
        return NONE
    paper: str = plugins.load("experiment", experiment).EXPERIMENT.paper
    return paper


def of_claim(claim: Claim | None, claim_id: str) -> str:
    """Key of a claim's paper; where the claim is gone, what its id begins with."""
    return claim.paper if claim else claim_id.rpartition("-")[0]


def order() -> tuple[str, ...]:
    """Every paper's key, by the place that its first experiment has in a report; those without one come last."""
    return _order(plugins.roots())


@cache
def _order(_among: tuple[plugins.Root, ...]) -> tuple[str, ...]:
    first = dict.fromkeys((claim.paper for claim in load_claims().values()), LAST)
    for experiment in plugins.names("experiment"):
        section, paper = own_section(experiment), of_experiment(experiment)
        first[paper] = min(first.get(paper, LAST), section.PLACE if section else LAST)
    return tuple(sorted(first, key=lambda paper: (first[paper], paper)))


def title(paper: str) -> str:
    """A paper's reference as Markdown, its key where no claim is of it."""
    found = (claim.reference for claim in load_claims().values() if claim.paper == paper)
    return escape(next(found, paper)) or "Other experiments"


def experiments(report: Report) -> dict[str, list[str]]:
    """By paper, the report's experiments in their order."""
    found = in_order(report)
    groups = {paper: [e for e in found if of_experiment(e) == paper] for paper in (*order(), NONE)}
    return {paper: group for paper, group in groups.items() if group}


def claims(judged: Iterable[Judged]) -> dict[str, list[Judged]]:
    """By paper, claims with their verdicts, in the order given."""
    groups: dict[str, list[Judged]] = {paper: [] for paper in order()}
    for claim, verdict in judged:
        groups.setdefault(of_claim(claim, verdict.id), []).append((claim, verdict))
    return {paper: group for paper, group in groups.items() if group}


def additions(report: Report, what: Addition) -> Iterator[tuple[str, list[str]]]:
    """(paper, the blocks that it adds) for every paper that adds any, in their order."""
    about = report.profile.papers
    for paper in order():
        if (
            (about is None or paper in about)
            and paper in plugins.names("paper")
            and plugins.file_of("paper", paper).with_name("report.py").is_file()
        ):
            module = importlib.import_module(plugins.module_name("paper", paper) + ".report")
            if hasattr(module, what):
                yield paper, getattr(module, what)(report)
