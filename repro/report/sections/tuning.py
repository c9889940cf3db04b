"""How the regularisers' weights were chosen, and ASR against accuracy over the whole grid of weights."""

from collections.abc import Sequence

from repro.evidence.table import Table
from repro.experiments.tuning import chosen_learning_rates, chosen_weights, disagreements
from repro.report.figures import CYCLE, GREY, LINES, MARKERS, canvas, legend_below, look
from repro.report.markdown import bullets, details, escape, table
from repro.report.report import Report
from repro.report.summary import mean
from repro.report.wording import capital, estimate, name

TITLE = "Tuning: weights, and ASR against accuracy"
PLACE = 50


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
        "What the rule did not see is the vertical axis here:",
        _curves(report, evidence, chosen, rates),
        "*Each curve goes through the grid's weights, lightest to heaviest as labelled; the ring marks the chosen one, "
        "the cross no regularisation, the dotted line the accuracy that the budget allows.*",
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
    """The grid of a regulariser by weight, ascending; none's single entry is at the chosen learning rate."""
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
    regularisers = list(chosen)
    columns = 2
    budget = report.profile.settings("tuning").budget
    with look():
        rows = -(-len(regularisers) // columns)
        figure, axes = canvas(rows, columns, height=2.6 * rows + 0.5, width=8.5, sharey=True)
        for axis, regulariser in zip(axes.flat, regularisers, strict=False):
            for index, architecture in enumerate(rates):
                colour, marker = CYCLE[index % len(CYCLE)], MARKERS[index % len(MARKERS)]
                none = _point(_tried(evidence, architecture, "none", rates)[0][1])
                tried = _tried(evidence, architecture, regulariser, rates)
                points = [_point(found) for _, found in tried]
                axis.plot(
                    *zip(*points, strict=True),
                    color=colour,
                    marker=marker,
                    markersize=4,
                    linestyle=LINES[index % len(LINES)],
                    label=name(architecture),
                )
                axis.plot(
                    *none, marker="x", color=colour, markersize=8, markeredgewidth=1.8, linestyle="none"
                )
                axis.axvline(none[0] - budget, color=colour, linestyle=":", linewidth=0.8)
                for (weight, _), point in zip(tried, points, strict=True):
                    axis.annotate(
                        f"{weight:g}",
                        point,
                        textcoords="offset points",
                        xytext=(3, 3),
                        fontsize=6.5,
                        color=colour,
                    )
                    if weight == chosen[regulariser][architecture]:
                        axis.plot(
                            *point,
                            marker="o",
                            markersize=12,
                            markerfacecolor="none",
                            markeredgecolor=colour,
                            linestyle="none",
                        )
            axis.set_title(capital(name(regulariser)))
            axis.set_ylim(-0.03, 1.03)
        for axis in list(axes.flat)[len(regularisers) :]:
            axis.set_visible(False)
        for axis in axes[:, 0]:
            axis.set_ylabel("adversarial success rate")
        for axis in list(axes.flat)[max(0, len(regularisers) - columns) : len(regularisers)]:
            axis.set_xlabel("clean validation accuracy")
        handles, labels = axes[0][0].get_legend_handles_labels()
        handles += axes[0][0].plot(
            [], [], marker="x", color=GREY, markersize=8, markeredgewidth=1.8, linestyle="none"
        )
        handles += axes[0][0].plot(
            [], [], marker="o", markersize=10, markerfacecolor="none", color=GREY, linestyle="none"
        )
        legend_below(figure, handles, [*labels, "no regularisation", "chosen"], columns=5)
        return report.picture(
            "tuning",
            figure,
            "Adversarial success rate against clean validation accuracy over each regulariser's weights",
        )


def _point(rows: Table) -> Sequence[float]:
    accuracy, success = mean(rows, "clean_accuracy"), mean(rows, "asr")
    return (accuracy.mean, success.mean) if accuracy and success else (float("nan"), float("nan"))
