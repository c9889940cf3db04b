"""The report's place for the paper's contradictions: figures it prints twice, and statements that do not agree."""

from repro.harness.evidence.table import Table
from repro.papers.truong2020 import against_itself_here, published
from repro.papers.truong2020.contradictions import CONTRADICTIONS, HOLDS, Contradiction
from repro.papers.truong2020.experiments._grid import BEFORE
from repro.report.markdown import bullets, details, escape, table
from repro.report.report import Report
from repro.report.summary import Estimate, mean
from repro.report.wording import capital, estimate, name, number


def blocks(report: Report) -> list[str]:
    """Figures printed in two tables, with ours where data and model are the same; then the statements."""
    least, most = min(_gaps()), max(_gaps())
    ours = any(_ours(report, row, "asr") for row in published.SOURCES)
    own = ["Ours"] if ours else []
    splits = [f"{split}: Table {n}" for split in ("Poisoned", "Clean") for n in (3, 4)]
    accuracy = [
        *splits[:2],
        *(f"Poisoned: {o.lower()}" for o in own),
        *splits[2:],
        *(f"Clean: {o.lower()}" for o in own),
    ]
    return [
        "truong2020 disagrees with itself in the places below, each checked against its text (its Figures 4 to 7 are "
        "pictures and could not be). They limit how closely a published figure can be met, and how a statement can be "
        "tested.",
        "**The same figure in two tables.** Tables 2 and 5 print the ASR of many-to-one poisoning before retraining "
        f"for the same data, model and trigger; they differ by {number(least)} to {number(most)}. Section 4.3, the "
        "only one that states a learning rate and a batch size, gives a third figure for ResNet-50 on Flowers. Tables "
        "3 and 4 repeat accuracies in the same way. That is why a published level is judged within 0.10 in ASR and "
        "0.03 in accuracy.",
        table(
            ["Data", "Model", "Trigger", "Table 2", "Table 5", "4.3", "Differ by", *own],
            [_asr(report, row, ours) for row in published.SOURCES],
            left=3,
        ),
        table(
            ["Data", "Model", "Trigger", *accuracy],
            [_accuracy(report, row, ours) for row in published.SOURCES],
            left=3,
        ),
        "**Statements.** *Here* are this profile's own figures, means over units and, where none is named, "
        "architectures.",
        bullets(_statement(report, contradiction) for contradiction in CONTRADICTIONS),
        details("Checked and found to hold", bullets(map(escape, HOLDS))),
    ]


def _printed(tables: tuple[published.Retraining, ...], row: published.Sources) -> float:
    """A figure of Tables 2 or 3 before retraining, for the data, model and trigger of a row of Tables 4 and 5."""
    grid = next(data.before for data in tables if data.dataset == row.dataset)
    return grid[published.MODELS.index(row.model)][published.TRIGGERS.index(row.trigger)]


def _gaps() -> list[float]:
    return [abs(row.asr[2] - _printed(published.ASR, row)) for row in published.SOURCES]


def _asr(report: Report, row: published.Sources, ours: bool) -> list[str]:
    figures = [_printed(published.ASR, row), row.asr[2]]
    third = published.SNNL_ASR[0] if (row.dataset, row.model) == ("Flowers", "ResNet-50") else None
    every = [*figures, third] if third is not None else figures
    return [
        *_place(row),
        *map(number, figures),
        number(third),
        number(max(every) - min(every)),
        *([estimate(_ours(report, row, "asr"))] if ours else []),
    ]


def _accuracy(report: Report, row: published.Sources, ours: bool) -> list[str]:
    cells = []
    for tables, pair, metric in (
        (published.POISONED_ACCURACY, row.poisoned_accuracy, "poisoned_accuracy"),
        (published.CLEAN_ACCURACY, row.clean_accuracy, "clean_accuracy"),
    ):
        cells += [number(_printed(tables, row)), number(pair[2])]
        cells += [estimate(_ours(report, row, metric), 3)] if ours else []
    return [*_place(row), *cells]


def _place(row: published.Sources) -> list[str]:
    return [row.dataset, row.model, capital(name(row.trigger))]


def _ours(report: Report, row: published.Sources, metric: str) -> Estimate | None:
    """Ours on the same data, model and trigger; None where the profile has not these."""
    if published.dataset_of(report.profile.data.name) != row.dataset:
        return None
    for experiment in ("trigger_by_model", "sources"):
        evidence = report.tables.get(experiment)
        if evidence is not None and (found := mean(_cell(evidence, row), metric)):
            return found
    return None


def _cell(evidence: Table, row: published.Sources) -> Table:
    architecture = published.architecture_of(row.model)
    return evidence.where(phase=BEFORE, sources="many-to-one", architecture=architecture, trigger=row.trigger)


def _statement(report: Report, contradiction: Contradiction) -> str:
    said = [f"{escape(s.where)}: {escape(s.says)}" for s in contradiction.statements]
    ours = against_itself_here.figures(report, contradiction.here) if contradiction.here else None
    together = " \u2014 ".join(said)
    lines = [f"**{escape(contradiction.about)}.** {together}. {escape(contradiction.remark)}"]
    return "\n".join([*lines, *([f"  - *Here:* {ours}."] if ours else [])])
