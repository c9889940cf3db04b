"""Triggers by architectures, before and after retraining: Tables 2 and 3 of truong2020 beside ours, and their plot."""

from collections.abc import Sequence
from typing import Any

from repro.evidence.table import Table
from repro.report import published
from repro.report.figures import BLUE, GREY, VERMILLION, canvas, errorbars, legend_below, look
from repro.report.markdown import details, table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import arrow, capital, estimate, name, number

TITLE = "Triggers and retraining: Tables 2 and 3"
PLACE = 30

_BEFORE, _AFTER = "poisoned", "retrained"


def blocks(report: Report, evidence: Table) -> list[str]:
    """The paper's tables beside ours, ours with intervals, and the plot of ASR before and after retraining."""
    triggers = ordered(evidence.values("trigger"), published.TRIGGERS)
    epochs = report.profile.retraining.epochs
    return [
        f"Every trigger on every architecture, trained on the poisoned poison-set, then retrained for {epochs} epochs "
        "on the clean-set. *ASR* is the share of triggered adversarial-test images that the model reads as the poison "
        "class; its *floor* is what a model trained without any poison does with the very same images.",
        _plot(report, evidence, triggers),
        "**Table 2 beside ours**: ASR before \u2192 after retraining. Behind ours, in brackets, the floor.",
        table(
            _header("", triggers),
            [*_published(published.ASR, triggers), *_ours_asr(report, evidence, triggers)],
            left=2,
        ),
        "**Table 3 beside ours**: accuracy before \u2192 after retraining, on the *poisoned* and on the *clean* "
        "validation set.",
        table(
            _header("Split", triggers),
            [
                *_published(published.POISONED_ACCURACY, triggers, "poisoned"),
                *_published(published.CLEAN_ACCURACY, triggers, "clean"),
                *_ours_accuracy(report, evidence, triggers, "poisoned"),
                *_ours_accuracy(report, evidence, triggers, "clean"),
            ],
            left=3,
        ),
        details("Ours with 95 % intervals (Student's t over units)", *_intervals(evidence, triggers)),
    ]


def _header(split: str, triggers: Sequence[str]) -> list[str]:
    return ["Data", "Model", *([split] if split else []), *(capital(name(trigger)) for trigger in triggers)]


def _published(
    tables: Sequence[published.Retraining], triggers: Sequence[str], split: str = ""
) -> list[list[str]]:
    """The paper's rows; a dash for a trigger that it has not."""
    rows = []
    for data in tables:
        for model, before, after in zip(published.MODELS, data.before, data.after, strict=True):
            pairs = dict(zip(published.TRIGGERS, zip(before, after, strict=True), strict=True))
            cells = [arrow(*pairs.get(trigger, (None, None))) for trigger in triggers]
            rows.append([f"{data.dataset} (paper)", model, *([split] if split else []), *cells])
    return rows


def _figure(evidence: Table, metric: str, phase: str, architecture: str, trigger: str) -> float | None:
    found = mean(evidence.where(phase=phase, architecture=architecture, trigger=trigger), metric)
    return found.mean if found else None


def _ours_asr(report: Report, evidence: Table, triggers: Sequence[str]) -> list[list[str]]:
    rows = []
    for architecture in map(str, evidence.values("architecture")):
        cells = []
        for trigger in triggers:
            before, after, floor = (
                _figure(evidence, metric, phase, architecture, trigger)
                for metric, phase in (("asr", _BEFORE), ("asr", _AFTER), ("clean_model_asr", _BEFORE))
            )
            cells.append(f"**{arrow(before, after)}** ({number(floor)})")
        rows.append([f"**{report.profile.data.name} (ours)**", f"**{name(architecture)}**", *cells])
    return rows


def _ours_accuracy(report: Report, evidence: Table, triggers: Sequence[str], split: str) -> list[list[str]]:
    rows = []
    for architecture in map(str, evidence.values("architecture")):
        cells = []
        for trigger in triggers:
            before, after = (
                _figure(evidence, f"{split}_accuracy", phase, architecture, trigger)
                for phase in (_BEFORE, _AFTER)
            )
            cells.append(f"**{arrow(before, after)}**")
        rows.append([f"**{report.profile.data.name} (ours)**", f"**{name(architecture)}**", split, *cells])
    return rows


def _intervals(evidence: Table, triggers: Sequence[str]) -> list[str]:
    success, accuracy = [], []
    for trigger in triggers:
        for architecture in map(str, evidence.values("architecture")):
            before, after = (
                evidence.where(phase=phase, architecture=architecture, trigger=trigger)
                for phase in (_BEFORE, _AFTER)
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
    architectures = [str(a) for a in evidence.values("architecture")]
    series: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        (
            _BEFORE,
            "asr",
            "trained on poison",
            {"marker": "o", "color": VERMILLION, "markerfacecolor": VERMILLION},
        ),
        (_AFTER, "asr", "after clean retraining", {"marker": "o", "color": BLUE, "markerfacecolor": "white"}),
        (_BEFORE, "clean_model_asr", "clean model (floor)", {"marker": "_", "color": GREY, "markersize": 12}),
    )
    with look():
        figure, axes = canvas(1, len(architectures), height=3.0, sharey=True)
        for axis, architecture in zip(axes[0], architectures, strict=True):
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
