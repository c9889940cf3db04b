"""ROC of both detection tests, and recovered triggers beside the true one as pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from repro.harness.evidence.table import Row, Table
from repro.papers.desanctis.experiments.targeted.pictures import pixels
from repro.report.figures import BLUE, LINES, ORANGE, VERMILLION, canvas, legend_below, look
from repro.report.report import Report
from repro.report.summary import numeric, values
from repro.report.wording import capital, name, number

TESTS = ("raw", "corrected")
_COLOURS = (BLUE, VERMILLION, ORANGE)
_COLUMNS = {"trigger_image": "triggered", "mask_image": "mask", "pattern_image": "mask x pattern"}
_THRESHOLD = 2.0  # Neural Cleanse's, of both tests

Floats = npt.NDArray[np.float64]


def _scores(rows: Table, test: str) -> tuple[Floats, Floats]:
    """Scores of the poisoned models and of the clean ones."""
    column = f"{test}_score"
    poisoned, clean = (np.array(values(rows.where(model=m), column)) for m in ("poisoned", "clean"))
    return poisoned, clean


def area(rows: Table, test: str) -> float | None:
    """The chance that a poisoned model scores above a clean one, a tie counting half; None without one of either."""
    poisoned, clean = _scores(rows, test)
    if not len(poisoned) or not len(clean):
        return None
    above, tied = poisoned[:, None] > clean, poisoned[:, None] == clean
    return float(above.mean() + tied.mean() / 2)


def curve(poisoned: Floats, clean: Floats) -> tuple[Floats, Floats]:
    """(shares of clean, of poisoned models) whose score is at least each threshold, from none to all."""
    thresholds = np.unique(np.concatenate([poisoned, clean]))[::-1]
    false, true = ((group >= thresholds[:, None]).mean(1) for group in (clean, poisoned))
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], true])


def roc(report: Report, rows: Table, architectures: Sequence[str]) -> str:
    """Both tests side by side, one curve per architecture."""
    with look():
        figure, axes = canvas(1, len(TESTS), height=3.4)
        for axis, test in zip(axes[0], TESTS, strict=True):
            axis.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8)
            for index, architecture in enumerate(architectures):
                poisoned, clean = _scores(rows.where(architecture=architecture), test)
                if not len(poisoned) or not len(clean):
                    continue
                color = _COLOURS[index % len(_COLOURS)]
                style = {"color": color, "linestyle": LINES[index % len(LINES)]}
                axis.plot(*curve(poisoned, clean), label=capital(name(architecture)), **style)
                axis.plot((clean > _THRESHOLD).mean(), (poisoned > _THRESHOLD).mean(), "o", color=color)
            axis.set_title(capital(test))
            axis.set_xlabel("clean models flagged")
            axis.set_aspect("equal")
        axes[0][0].set_ylabel("poisoned models flagged")
        legend_below(figure, *axes[0][0].get_legend_handles_labels())
        return report.picture(
            "detection-roc",
            figure,
            "ROC curves of the raw and the corrected outlier test over poisoned and clean models",
        )


def pictures(report: Report, rows: Table, architectures: Sequence[str]) -> list[str]:
    """One row per architecture, one triple per unit; nothing where the evidence has no pictures."""
    shown = [(a, _pictured(rows.where(architecture=a))) for a in architectures]
    shown = [(architecture, among) for architecture, among in shown if among]
    if not shown:
        return []
    units = max(len(among) for _, among in shown)
    with look():
        widths = ([1.0] * len(_COLUMNS) + [0.15]) * units
        size = {"height": 1.3 * len(shown) + 0.4, "width": 0.95 * sum(widths) + 1.0}
        figure, axes = canvas(len(shown), len(widths), **size, gridspec_kw={"width_ratios": widths})
        for axis in axes.flat:
            axis.set_axis_off()
        for line, (architecture, among) in zip(axes, shown, strict=True):
            for index, row in enumerate(among):
                first = index * (len(_COLUMNS) + 1)
                _triple(line[first : first + len(_COLUMNS)], row, report.data.shape)
            line[0].set_ylabel(name(architecture), rotation=0, ha="right", va="center", fontsize=8)
        for axis, column in zip(axes[0], [*_COLUMNS.values(), ""] * units, strict=True):
            axis.set_title(column, fontsize=7.5)
        image = report.picture(
            "detection-triggers", figure, "Triggered images, recovered masks and patterns, by architecture"
        )
    return [
        image,
        "*For some units, an image under the true trigger, the mask recovered for the poison class, and its pattern "
        "where the mask lets it through; below, the mask's overlap with the true trigger.*",
    ]


def _pictured(rows: Table) -> list[Row]:
    if not set(_COLUMNS) <= set(rows.columns):
        return []
    return [row for row in rows if all(row[column] is not None for column in _COLUMNS)]


def _triple(axes: Any, row: Row, shape: tuple[int, int, int]) -> None:
    triggered = pixels(row, "trigger_image", shape)
    mask = pixels(row, "mask_image", (1, *shape[1:]))
    pattern = (mask / 255.0 * pixels(row, "pattern_image", shape)).round().astype(np.uint8)
    for axis, image in zip(axes, (triggered, mask, pattern), strict=True):
        axis.set_axis_on()
        axis.imshow(
            image[..., 0] if image.shape[2] == 1 else image,
            cmap="gray",
            vmin=0,
            vmax=255,
            interpolation="nearest",
        )
        axis.grid(visible=False)
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(True)
    axes[0].set_xlabel(f"class {row['poison_class']}", fontsize=7)
    axes[1].set_xlabel(f"overlap {number(numeric(row, 'mask_overlap'))}", fontsize=7)
