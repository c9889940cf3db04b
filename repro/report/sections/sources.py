"""One source class against many: Tables 4 and 5 of truong2020 beside ours, and one-to-one on its own source class."""

from typing import Any

from repro.evidence.table import Table
from repro.report import published
from repro.report.figures import BLUE, GREEN, GREY, VERMILLION, canvas, errorbars, legend_below, look
from repro.report.markdown import table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import capital, estimate, name, number

TITLE = "One source class or many: Tables 4 and 5"
PLACE = 60

_ONE, _MANY = "one-to-one", "many-to-one"


def blocks(report: Report, evidence: Table) -> list[str]:
    """Both tables beside ours, and the plot."""
    cells = [
        (str(a), t)
        for t in ordered(evidence.values("trigger"), published.TRIGGERS)
        for a in evidence.values("architecture")
    ]
    return [
        "The same number of poisoned samples, drawn from a single source class or from all but the poison class. The "
        "one-to-one attack is measured on all classes, as in the paper, and on its own source class alone, where the "
        "model has seen the trigger.",
        _plot(report, evidence, cells),
        "**Table 5 beside ours**: ASR. The paper prints a spread for one-to-one alone; ours are 95 % intervals.",
        table(
            [
                "Data",
                "Model",
                "Trigger",
                "1-to-1",
                "M-to-1",
                "M-to-1 less 1-to-1",
                "1-to-1, own source",
                "Floor",
            ],
            [
                *map(_published_asr, published.SOURCES),
                *(_ours_asr(report, evidence, *cell) for cell in cells),
            ],
            left=3,
        ),
        "**Table 4 beside ours**: accuracy on the poisoned and on the clean validation set.",
        table(
            [
                "Data",
                "Model",
                "Trigger",
                "Poisoned, 1-to-1",
                "Poisoned, M-to-1",
                "Clean, 1-to-1",
                "Clean, M-to-1",
            ],
            [
                *map(_published_accuracy, published.SOURCES),
                *(_ours_accuracy(report, evidence, *c) for c in cells),
            ],
            left=3,
        ),
    ]


def _published_place(row: published.Sources) -> list[str]:
    return [f"{row.dataset} (paper)", row.model, capital(name(row.trigger))]


def _published_pair(figures: tuple[float, float, float]) -> list[str]:
    one, spread, many = figures
    return [f"{number(one)} ± {number(spread)}", number(many)]


def _published_asr(row: published.Sources) -> list[str]:
    one, _, many = row.asr
    return [
        *_published_place(row),
        *_published_pair(row.asr),
        number(many - one, signed=True),
        number(None),
        number(None),
    ]


def _published_accuracy(row: published.Sources) -> list[str]:
    return [
        *_published_place(row),
        *_published_pair(row.poisoned_accuracy),
        *_published_pair(row.clean_accuracy),
    ]


def _ours_place(report: Report, architecture: str, trigger: str) -> list[str]:
    return [f"**{report.profile.data.name} (ours)**", f"**{name(architecture)}**", capital(name(trigger))]


def _sides(evidence: Table, architecture: str, trigger: str) -> tuple[Table, Table]:
    rows = evidence.where(phase="poisoned", architecture=architecture, trigger=trigger)
    return rows.where(sources=_ONE), rows.where(sources=_MANY)


def _ours_asr(report: Report, evidence: Table, architecture: str, trigger: str) -> list[str]:
    one, many = _sides(evidence, architecture, trigger)
    return [
        *_ours_place(report, architecture, trigger),
        estimate(mean(one, "asr")),
        estimate(mean(many, "asr")),
        estimate(difference(many, one, "asr"), signed=True),
        estimate(mean(one, "own_source_asr")),
        estimate(mean(many, "clean_model_asr")),
    ]


def _ours_accuracy(report: Report, evidence: Table, architecture: str, trigger: str) -> list[str]:
    sides = _sides(evidence, architecture, trigger)
    return [
        *_ours_place(report, architecture, trigger),
        *(estimate(mean(side, f"{split}_accuracy"), 3) for split in ("poisoned", "clean") for side in sides),
    ]


def _plot(report: Report, evidence: Table, cells: list[tuple[str, str]]) -> str:
    with look():
        figure, axes = canvas(height=3.0)
        axis = axes[0][0]
        styles: tuple[tuple[str, float, dict[str, Any]], ...] = (
            ("one-to-one", -0.21, {"marker": "o", "color": VERMILLION, "markerfacecolor": "white"}),
            ("one-to-one, on its own source class", -0.07, {"marker": "D", "color": GREEN, "markersize": 5}),
            ("many-to-one", 0.07, {"marker": "o", "color": BLUE}),
            ("clean model (floor)", 0.21, {"marker": "_", "color": GREY, "markersize": 12}),
        )
        figures = []
        for architecture, trigger in cells:
            one, many = _sides(evidence, architecture, trigger)
            figures.append(
                (
                    mean(one, "asr"),
                    mean(one, "own_source_asr"),
                    mean(many, "asr"),
                    mean(many, "clean_model_asr"),
                )
            )
        for index, (label, offset, style) in enumerate(styles):
            errorbars(axis, offset, [row[index] for row in figures], label, style)
        axis.set_xticks(range(len(cells)), [f"{name(a)}\n{name(t)}" for a, t in cells])
        axis.set_xlim(-0.5, len(cells) - 0.5)
        axis.set_ylim(-0.03, 1.03)
        axis.grid(visible=False, axis="x")
        axis.set_ylabel("adversarial success rate")
        legend_below(figure, *axis.get_legend_handles_labels())
        return report.picture(
            "sources", figure, "Adversarial success rate of one-to-one and many-to-one poisoning"
        )
