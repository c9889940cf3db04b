"""Heat map by poison class and box plots by regulariser (truong2020 Figures 4 and 5)."""

from typing import Any

import numpy as np
from matplotlib.patches import Patch

from repro.harness.evidence.table import Cell, Table
from repro.report.figures import ORANGE, SKY, canvas, legend_below, look
from repro.report.report import Report
from repro.report.summary import ordered, values
from repro.report.wording import name, number

_METRICS = {"clean_accuracy": "clean validation accuracy", "asr": "adversarial success rate"}
_LINE_BREAKS = {
    "logit_squeezing": "logit\nsqueezing",
    "manifold_mixup": "manifold\nmixup",
    "contrastive": "contras-\ntive",
    "snnl_printed": "SNNL,\nprinted",
}


def short(regulariser: str) -> str:
    """A regulariser's name on at most two short lines."""
    return _LINE_BREAKS.get(regulariser, name(regulariser).replace(" ", "\n"))


def heat_map(report: Report, rows: Table, phase: str, regularisers: list[str]) -> str:
    """Poison classes by regularisers, clean accuracy and ASR; colour is the difference to no regularisation."""
    classes = sorted(rows.values("poison_class"), key=lambda c: (len(str(c)), str(c)))
    with look():
        names = [class_name(report, c) for c in classes]
        width = 9.0 + 0.16 * (max(map(len, names), default=1) - 1)
        figure, axes = canvas(1, 2, height=1.4 + 0.36 * len(classes), width=width)
        for axis, (metric, title) in zip(axes[0], _METRICS.items(), strict=True):
            grid = np.array(
                [
                    [_cell(rows.where(poison_class=c, regulariser=r), metric) for r in regularisers]
                    for c in classes
                ]
            )
            base = grid[:, [regularisers.index("none")]] if "none" in regularisers else grid
            change = grid - base
            least, digits = (
                (0.05, 2) if metric == "asr" else (0.03, 3)
            )  # the colour scale reaches at least to the minimum effect
            reach = max(least, float(np.nanmax(np.abs(change), initial=0.0)))
            shown = axis.imshow(change, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
            _annotate(axis, grid, change, digits, reach)
            axis.set_xticks(range(len(regularisers)), [short(r) for r in regularisers], fontsize=7.5)
            axis.set_yticks(range(len(classes)), names)
            axis.set_title(title)
            axis.grid(visible=False)
            for spine in axis.spines.values():
                spine.set_visible(False)
            axis.tick_params(length=0)
            figure.colorbar(shown, ax=axis, label="difference to none", aspect=35, pad=0.03)
        axes[0][0].set_ylabel("poison class")
        return report.picture(
            f"regularisers-{phase}",
            figure,
            f"Clean validation accuracy and adversarial success rate by poison class and regulariser, {phase}",
        )


def class_name(report: Report, label: Cell) -> str:
    """A class's name if the data has one, its label otherwise."""
    names = report.data.classes
    return names[label] if isinstance(label, int) and 0 <= label < len(names) else str(label)


def _cell(rows: Table, metric: str) -> float:
    found = values(rows, metric)
    return float(np.mean(found)) if found else float("nan")


def _annotate(axis: Any, grid: Any, change: Any, digits: int, reach: float) -> None:
    for (row, column), value in np.ndenumerate(grid):
        if not np.isfinite(value):
            continue
        delta = change[row, column]
        colour = "white" if abs(delta) > 0.7 * reach else "black"
        first = number(float(value), digits)
        text = (
            first
            if np.all(change[:, column] == 0)
            else f"{first}\n{number(float(delta), digits, signed=True)}"
        )
        axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=6.8, linespacing=1.0)


def box_plots(report: Report, evidence: Table, regularisers: list[str], order: list[str]) -> str:
    """Spread of clean accuracy and ASR over all models, by regulariser, one box for each way of stopping."""
    phases = ordered(evidence.values("phase"), order)
    fills = [(SKY, ""), (ORANGE, "////")]
    width = 0.8 / max(len(phases), 1)
    with look():
        figure, axes = canvas(1, 2, height=3.3, width=9.0)
        for axis, (metric, title) in zip(axes[0], _METRICS.items(), strict=True):
            for i, phase in enumerate(phases):
                found = [values(evidence.where(phase=phase, regulariser=r), metric) for r in regularisers]
                places = [j + (i - (len(phases) - 1) / 2) * width for j in range(len(regularisers))]
                boxes = axis.boxplot(
                    found,
                    positions=places,
                    widths=0.85 * width,
                    patch_artist=True,
                    showmeans=True,
                    medianprops={"color": "black", "linewidth": 1.4},
                    meanprops={"marker": "x", "markeredgecolor": "black", "markersize": 4},
                    flierprops={"marker": ".", "markersize": 3, "markeredgecolor": "#555555"},
                    boxprops={"linewidth": 0.8},
                )
                colour, hatch = fills[i % len(fills)]
                for box in boxes["boxes"]:
                    box.set(facecolor=colour, hatch=hatch, edgecolor="black")
            axis.set_xticks(range(len(regularisers)), [short(r) for r in regularisers], fontsize=7.5)
            axis.set_title(title)
            axis.grid(visible=False, axis="x")
        handles = [
            Patch(facecolor=c, hatch=h, edgecolor="black") for (c, h), _ in zip(fills, phases, strict=False)
        ]
        legend_below(figure, handles, phases)
        return report.picture(
            "regularisers-spread",
            figure,
            "Spread of clean validation accuracy and adversarial success rate by regulariser",
        )
