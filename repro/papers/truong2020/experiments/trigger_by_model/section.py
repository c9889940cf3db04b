"""Triggers by architectures, before and after retraining: Tables 2 and 3 of truong2020 beside ours, and their plot."""

from collections.abc import Sequence
from typing import Any

from repro.harness.evidence.table import Table
from repro.papers.truong2020 import published
from repro.papers.truong2020.experiments._grid import AFTER, BEFORE, architectures
from repro.report.figures import BLUE, GREY, VERMILLION, WIDTH, canvas, errorbars, legend_below, look
from repro.report.markdown import NONE, details, escape, table
from repro.report.report import Report
from repro.report.summary import Estimate, difference, mean, ordered
from repro.report.wording import beside, capital, estimate, name, number

TITLE = "Triggers and retraining: Tables 2 and 3"
PLACE = 30

_RETRAINED = {BEFORE: "no", AFTER: "yes"}


def blocks(report: Report, evidence: Table) -> list[str]:
    """The paper's tables beside ours, ours with intervals, and the plot of ASR before and after retraining."""
    triggers = ordered(evidence.values("trigger"), published.TRIGGERS)
    epochs = report.profile.retraining.epochs
    heads = [capital(name(trigger)) for trigger in triggers]
    split = {"poisoned": published.POISONED_ACCURACY, "clean": published.CLEAN_ACCURACY}
    accuracy = [
        [*line[:2], words, *line[2:]]
        for words, tables in split.items()
        for line in _lines(report, evidence, triggers, tables, f"{words}_accuracy", 3)
    ]
    return [
        "Every trigger on every architecture, trained on the poisoned poison-set, then retrained for "
        f"{epochs} epochs on the clean-set. *ASR* is the share of triggered adversarial-test images that the model "
        "classifies as the poison class; its *floor* is that share for a model trained without any poison, on the very "
        "same images.",
        _plot(report, evidence, triggers),
        f"**Table 2 beside ours**: ASR before and after retraining.{legend(report, evidence)}",
        table(
            ["Data", "Model", "Retrained?", *heads],
            [
                *_lines(report, evidence, triggers, published.ASR, "asr", 2),
                *_floors(report, evidence, triggers),
            ],
            left=3,
        ),
        "**Table 3 beside ours**: accuracy before and after retraining, on the *poisoned* and on the *clean* "
        f"validation set.{legend(report, evidence)}",
        table(["Data", "Model", "Split", "Retrained?", *heads], accuracy, left=4),
        details("What retraining changes, paired within units", *_changes(evidence, triggers)),
    ]


def legend(report: Report, evidence: Table) -> str:
    """How to read fields that hold the paper's figure and ours; empty if no field does."""
    theirs = published.dataset_of(report.profile.data.name)
    if theirs is None or not set(architectures(evidence)) & set(published.ARCHITECTURES):
        return ""
    return (
        f" Where the data are an edition of the paper's {theirs} and the model has the paper's name, a field reads: "
        "the paper's figure / **ours** (ours less the paper's)."
    )


def _lines(
    report: Report,
    evidence: Table,
    triggers: Sequence[str],
    tables: Sequence[published.Retraining],
    metric: str,
    digits: int,
) -> list[list[str]]:
    """The paper's rows, with ours in the same fields where data and model agree, then our other rows."""
    rows, ours = [], architectures(evidence)
    here = published.dataset_of(report.profile.data.name)
    for data in tables:
        for index, model in enumerate(published.MODELS):
            architecture = published.architecture_of(model)
            both = data.dataset == here and architecture in ours
            for phase, grid in ((BEFORE, data.before), (AFTER, data.after)):
                printed = dict(zip(published.TRIGGERS, grid[index], strict=True))
                cells = []
                for trigger in triggers:
                    found = _figure(evidence, metric, phase, architecture, trigger) if both else None
                    theirs = printed.get(trigger)
                    cells.append(beside(theirs, found, digits) if both else number(theirs))
                place = f"{data.dataset} ({'paper / ours' if both else 'paper'})"
                rows.append([place, model, _RETRAINED[phase], *cells])
    for architecture in ours:
        if here is None or architecture not in published.ARCHITECTURES:
            for phase, words in _RETRAINED.items():
                own = [_figure(evidence, metric, phase, architecture, trigger) for trigger in triggers]
                if any(own):
                    rows.append([*_place(report, architecture), words, *(_bold(f, digits) for f in own)])
    return rows


def _floors(report: Report, evidence: Table, triggers: Sequence[str]) -> list[list[str]]:
    """How clean models classify the same images, one row per architecture."""
    rows = []
    for architecture in architectures(evidence):
        found = [_figure(evidence, "clean_model_asr", BEFORE, architecture, trigger) for trigger in triggers]
        rows.append([*_place(report, architecture), "clean model (floor)", *map(estimate, found)])
    return rows


def _place(report: Report, architecture: str) -> list[str]:
    return [f"**{escape(report.profile.data.name)} (ours)**", f"**{name(architecture)}**"]


def _bold(figure: Estimate | None, digits: int) -> str:
    return f"**{estimate(figure, digits)}**" if figure else NONE


def _figure(evidence: Table, metric: str, phase: str, architecture: str, trigger: str) -> Estimate | None:
    return mean(evidence.where(phase=phase, architecture=architecture, trigger=trigger), metric)


def _changes(evidence: Table, triggers: Sequence[str]) -> list[str]:
    success, accuracy = [], []
    for trigger in triggers:
        for architecture in architectures(evidence):
            before, after = (
                evidence.where(phase=phase, architecture=architecture, trigger=trigger)
                for phase in (BEFORE, AFTER)
            )
            place = [capital(name(trigger)), name(architecture)]
            success.append(
                [
                    *place,
                    estimate(mean(before, "asr")),
                    estimate(mean(after, "asr")),
                    estimate(difference(after, before, "asr"), signed=True),
                    estimate(mean(before, "clean_model_asr")),
                ]
            )
            accuracy.append(
                [
                    *place,
                    estimate(mean(before, "clean_accuracy"), 3),
                    estimate(mean(after, "clean_accuracy"), 3),
                    estimate(difference(after, before, "clean_accuracy"), 3, signed=True),
                    estimate(mean(before, "clean_model_accuracy"), 3),
                ]
            )
    columns = ["Before", "After", "After less before"]
    return [
        "ASR, and the clean model's on the same images (the floor):",
        table(["Trigger", "Model", *columns, "Floor"], success, left=2),
        "Accuracy on the clean validation set, and the clean model's:",
        table(["Trigger", "Model", *columns, "Clean model"], accuracy, left=2),
    ]


def _plot(report: Report, evidence: Table, triggers: Sequence[str]) -> str:
    models = architectures(evidence)
    series: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        (
            BEFORE,
            "asr",
            "trained on poison",
            {"marker": "o", "color": VERMILLION, "markerfacecolor": VERMILLION},
        ),
        (AFTER, "asr", "after clean retraining", {"marker": "o", "color": BLUE, "markerfacecolor": "white"}),
        (BEFORE, "clean_model_asr", "clean model (floor)", {"marker": "_", "color": GREY, "markersize": 12}),
    )
    with look():
        figure, axes = canvas(1, len(models), height=3.0, width=max(WIDTH, 2.4 * len(models)), sharey=True)
        for axis, architecture in zip(axes[0], models, strict=True):
            for offset, (phase, metric, label, style) in zip((-0.12, 0.12, 0.0), series, strict=True):
                points = [
                    mean(evidence.where(phase=phase, architecture=architecture, trigger=t), metric)
                    for t in triggers
                ]
                errorbars(axis, offset, points, label, style)
            axis.set_title(name(architecture))
            axis.set_xticks(range(len(triggers)), [name(t).replace(" ", "\n") for t in triggers])
            axis.set_xlim(-0.5, len(triggers) - 0.5)
            axis.set_ylim(-0.03, 1.03)
            axis.grid(visible=False, axis="x")
        axes[0][0].set_ylabel("adversarial success rate")
        legend_below(figure, *axes[0][0].get_legend_handles_labels())
        return report.picture(
            "retraining",
            figure,
            "Adversarial success rate by trigger and architecture, before and after clean retraining",
        )
