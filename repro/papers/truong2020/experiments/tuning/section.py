"""How the regularisers' weights were chosen, and ASR against accuracy over the whole grid of weights."""

from typing import Any

from repro.harness.evidence.table import Table
from repro.papers.truong2020.experiments.regularisers.figures import short
from repro.papers.truong2020.experiments.tuning import chosen_learning_rates, chosen_weights, disagreements
from repro.report.figures import BLUE, GREY, VERMILLION, canvas, legend_below, look
from repro.report.markdown import bullets, details, escape, table
from repro.report.report import Report
from repro.report.summary import mean
from repro.report.wording import capital, estimate, name

TITLE = "Tuning: weights, and ASR against accuracy"
PLACE = 50

Point = tuple[float, float]
_SHOWN = 2.5  # the curves' axis spans this many budgets of lost accuracy


def blocks(report: Report, evidence: Table) -> list[str]:
    """The rule, the curves, what was chosen, and the grid."""
    budget = report.profile.settings("tuning").budget
    chosen = chosen_weights(evidence, budget)
    rates = chosen_learning_rates(evidence)
    units = len(evidence.values("unit"))
    found = [
        "The paper gives no weights. The rule was fixed beforehand: for each regulariser and architecture the heaviest "
        f"weight of a stated grid whose mean clean validation accuracy is at most {budget:g} below that of no "
        f"regularisation. It never looks at ASR, and its {units} units use partition seeds outside the evidence. "
        "Grids whose heaviest weight was within the budget were widened beforehand, looking at accuracy alone "
        "(mixup's ends at 1, the paper's form). What the rule did not see is the vertical axis here:",
        _curves(report, evidence, chosen, rates),
        "*Each curve goes through the grid's weights, lightest to heaviest as labelled; the ring marks the chosen one, "
        "the cross no regularisation, the dotted line the accuracy that the budget allows. A weight with an arrow "
        "costs more accuracy than the axis shows.*",
        "**Chosen weights** (0: even the lightest costs more than the budget).",
        table(
            ["Regulariser", *(name(a) for a in rates)],
            [[capital(name(r)), *(f"{by[a]:g}" for a in rates)] for r, by in chosen.items()],
        ),
        f"Learning rates, by highest mean clean validation accuracy: "
        f"{', '.join(f'{name(a)} {rate:g}' for a, rate in rates.items())}.",
    ]
    if wrong := disagreements(report.profile, evidence):
        found += ["**The profile does not use what the rule chooses:**", bullets(map(escape, wrong))]
    return [*found, _grid(evidence, chosen, rates)]


def _tried(
    evidence: Table, architecture: str, regulariser: str, rates: dict[str, float]
) -> list[tuple[float, Table]]:
    """The grid of a regulariser by weight, ascending; the single entry of none is at the chosen learning rate."""
    rows = evidence.where(architecture=architecture, regulariser=regulariser)
    if regulariser == "none":
        return [(0.0, rows.where(learning_rate=rates[architecture]))]
    weights = sorted(float(w) for w in rows.values("weight") if isinstance(w, int | float))
    return [(weight, rows.where(weight=weight)) for weight in weights]


def _grid(evidence: Table, chosen: dict[str, dict[str, float]], rates: dict[str, float]) -> str:
    lines = []
    for regulariser in ["none", *chosen]:
        for architecture in rates:
            for weight, rows in _tried(evidence, architecture, regulariser, rates):
                used = weight == chosen.get(regulariser, {}).get(architecture)
                lines.append(
                    [
                        capital(name(regulariser)),
                        name(architecture),
                        f"{weight:g}",
                        estimate(mean(rows, "clean_accuracy"), 3),
                        estimate(mean(rows, "asr")),
                        estimate(mean(rows, "clean_model_asr")),
                        "chosen" if used else "",
                    ]
                )
    header = ["Regulariser", "Model", "Weight", "Clean accuracy", "ASR", "Floor", ""]
    return details(f"The grid: {len(lines)} settings with 95 % intervals", table(header, lines, left=2))


def _curves(
    report: Report, evidence: Table, chosen: dict[str, dict[str, float]], rates: dict[str, float]
) -> str:
    budget = report.profile.settings("tuning").budget
    with look():
        size = {"height": 1.75 * len(chosen) + 0.6, "width": 8.5}
        figure, axes = canvas(len(chosen), len(rates), **size, sharex=True, sharey=True)
        for line, (regulariser, weights) in zip(axes, chosen.items(), strict=True):
            for axis, architecture in zip(line, rates, strict=True):
                tried = _tried(evidence, architecture, regulariser, rates)
                none = _point(_tried(evidence, architecture, "none", rates)[0][1])
                _curve(axis, [(w, _point(rows)) for w, rows in tried], none, weights[architecture], budget)
            line[0].set_ylabel(f"{short(regulariser)}\n\nASR")
        for axis, architecture in zip(axes[0], rates, strict=True):
            axis.set_title(name(architecture))
        for axis in axes[-1]:
            axis.set_xlabel("clean validation accuracy less none's")
        axes[0][0].set(
            xlim=(-(_SHOWN + 0.1) * budget, _SHOWN * budget / 2), xticks=[k * budget for k in (-2, -1, 0, 1)]
        )
        axes[0][0].margins(y=0.15)
        legend_below(figure, *axes[0][0].get_legend_handles_labels())
        return report.picture(
            "tuning",
            figure,
            "ASR against clean validation accuracy over each regulariser's weights, by architecture",
        )


def _curve(axis: Any, points: list[tuple[float, Point]], none: Point, chosen: float, budget: float) -> None:
    """One regulariser on one architecture, accuracy as the difference to none's; points off the axis at its edge."""
    places = [(max(accuracy - none[0], -_SHOWN * budget), success) for _, (accuracy, success) in points]
    axis.plot(
        *zip(*places, strict=True), color=BLUE, marker="o", markersize=4, linewidth=1, label="weights tried"
    )
    axis.plot(
        0,
        none[1],
        marker="x",
        color=VERMILLION,
        markersize=8,
        markeredgewidth=1.8,
        linestyle="none",
        label="none",
    )
    axis.axvline(-budget, color=GREY, linestyle=":", linewidth=1.2, label="budget")
    for index, ((weight, (accuracy, _)), place) in enumerate(zip(points, places, strict=True)):
        beyond = accuracy - none[0] < place[0]
        side = {"xytext": (0, 5 if index % 2 else -5), "va": "bottom" if index % 2 else "top", "ha": "center"}
        words = f"  \u2190 {weight:g}" if beyond else f"{weight:g}"
        axis.annotate(words, place, textcoords="offset points", fontsize=6.5, **side)
    at = [place for (weight, _), place in zip(points, places, strict=True) if weight == chosen]
    ring = {
        "marker": "o",
        "markersize": 11,
        "markerfacecolor": "none",
        "markeredgecolor": "black",
        "linestyle": "none",
    }
    axis.plot(*(zip(*at, strict=True) if at else ((), ())), label="chosen", **ring)


def _point(rows: Table) -> Point:
    accuracy, success = mean(rows, "clean_accuracy"), mean(rows, "asr")
    return (accuracy.mean, success.mean) if accuracy and success else (float("nan"), float("nan"))
