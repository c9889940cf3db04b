"""One source class against many: Tables 4 and 5 of truong2020 beside ours, and one-to-one on its own source class."""

from typing import Any

from repro.harness.evidence.table import Table
from repro.papers.truong2020 import published
from repro.papers.truong2020.experiments.trigger_by_model.section import legend
from repro.report.figures import BLUE, GREEN, GREY, VERMILLION, canvas, errorbars, legend_below, look
from repro.report.markdown import SPACE, escape, table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import beside, capital, estimate, name, number

TITLE = "One source class or many: Tables 4 and 5"
PLACE = 60

_IN_A_ROW = 6
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
        "**Table 5 beside ours**: ASR. The paper prints a spread for one-to-one alone and does not say of what; ours "
        f"are 95 % intervals.{legend(report, evidence)}",
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
                *(_printed_asr(report, evidence, row) for row in published.SOURCES),
                *(_ours_asr(report, evidence, *cell) for cell in cells if not _printed(report, *cell)),
            ],
            left=3,
        ),
        f"**Table 4 beside ours**: accuracy on the poisoned and on the clean validation set.{legend(report, evidence)}",
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
                *(_printed_accuracy(report, evidence, row) for row in published.SOURCES),
                *(_ours_accuracy(report, evidence, *cell) for cell in cells if not _printed(report, *cell)),
            ],
            left=3,
        ),
    ]


def _printed(report: Report, architecture: str, trigger: str) -> bool:
    """Whether the paper's tables have a row for the same data, model and trigger."""
    here = published.dataset_of(report.profile.data.name)
    wanted = (here, published.ARCHITECTURES.get(architecture), trigger)
    return any((row.dataset, row.model, row.trigger) == wanted for row in published.SOURCES)


def _same(report: Report, evidence: Table, row: published.Sources) -> tuple[Table, Table] | None:
    """Our rows of one and of many sources in the paper's own row; None where data, model or trigger differ."""
    architecture = published.architecture_of(row.model)
    if not _printed(report, architecture, row.trigger):
        return None
    if row.dataset != published.dataset_of(report.profile.data.name):
        return None
    sides = _sides(evidence, architecture, row.trigger)
    return sides if any(len(side) for side in sides) else None


def _place(row: published.Sources, ours: object) -> list[str]:
    return [f"{row.dataset} ({'paper / ours' if ours else 'paper'})", row.model, capital(name(row.trigger))]


def _pair(
    figures: tuple[float, float, float], sides: tuple[Table, Table] | None, metric: str, digits: int
) -> list[str]:
    """One-to-one with its printed spread, and many-to-one; ours in the same fields if there are any."""
    one, spread, many = figures
    if sides is None:
        return [f"{number(one)}{SPACE}±{SPACE}{number(spread)}", number(many)]
    first, second = (
        beside(theirs, mean(side, metric), digits) for theirs, side in zip((one, many), sides, strict=True)
    )
    return [first.replace(f"{SPACE}/", f"{SPACE}±{SPACE}{number(spread)}{SPACE}/", 1), second]


def _printed_asr(report: Report, evidence: Table, row: published.Sources) -> list[str]:
    one, _, many = row.asr
    sides = _same(report, evidence, row)
    place = [*_place(row, sides), *_pair(row.asr, sides, "asr", 2)]
    if sides is None:
        return [*place, number(many - one, signed=True), number(None), number(None)]
    ours = estimate(difference(sides[1], sides[0], "asr"), signed=True)
    return [
        *place,
        f"{number(many - one, signed=True)}{SPACE}/{SPACE}**{ours}**",
        estimate(mean(sides[0], "own_source_asr")),
        estimate(mean(sides[1], "clean_model_asr")),
    ]


def _printed_accuracy(report: Report, evidence: Table, row: published.Sources) -> list[str]:
    sides = _same(report, evidence, row)
    return [
        *_place(row, sides),
        *_pair(row.poisoned_accuracy, sides, "poisoned_accuracy", 3),
        *_pair(row.clean_accuracy, sides, "clean_accuracy", 3),
    ]


def _ours_place(report: Report, architecture: str, trigger: str) -> list[str]:
    return [
        f"**{escape(report.profile.data.name)} (ours)**",
        f"**{name(architecture)}**",
        capital(name(trigger)),
    ]


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
    """All cells in one row; if there are many, one row per trigger."""
    lines = (
        [cells]
        if len(cells) <= _IN_A_ROW
        else [[c for c in cells if c[1] == t] for t in dict.fromkeys(t for _, t in cells)]
    )
    with look():
        figure, axes = canvas(len(lines), 1, height=2.3 * len(lines) + 0.7)
        for axis, line in zip(axes[:, 0], lines, strict=True):
            _line(axis, evidence, line)
        legend_below(figure, *axes[0][0].get_legend_handles_labels())
        return report.picture(
            "sources", figure, "Adversarial success rate of one-to-one and many-to-one poisoning"
        )


def _line(axis: Any, evidence: Table, cells: list[tuple[str, str]]) -> None:
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
            (mean(one, "asr"), mean(one, "own_source_asr"), mean(many, "asr"), mean(many, "clean_model_asr"))
        )
    for index, (label, offset, style) in enumerate(styles):
        errorbars(axis, offset, [row[index] for row in figures], label, style)
    axis.set_xticks(range(len(cells)), [f"{name(a)}\n{name(t)}" for a, t in cells])
    axis.set_xlim(-0.5, len(cells) - 0.5)
    axis.set_ylim(-0.03, 1.03)
    axis.grid(visible=False, axis="x")
    axis.set_ylabel("adversarial\nsuccess rate")
