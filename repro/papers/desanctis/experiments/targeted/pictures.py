"""Bases, targets and poisons of the targeted attack as pictures, with the poisons' distances beside them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from repro.errors import ReproError
from repro.harness.evidence.table import Row, Table
from repro.report.figures import canvas, look
from repro.report.report import Report
from repro.report.summary import numeric
from repro.report.wording import number

COLUMNS = {"base_image": "base", "target_image": "target", "poison_image": "poison"}
_RATIOS = {"feature_ratio": "features", "input_ratio": "pixels"}
_MOST = 3  # units per row

Shape = tuple[int, int, int]


def pictures(report: Report, conditions: list[tuple[str, Table]]) -> list[str]:
    """One row per condition, one triple per unit; nothing where the evidence has no pictures.

    ``conditions``: each with its label.
    """
    shown = [(label, pictured(rows)[:_MOST]) for label, rows in conditions]
    shown = [(label, rows) for label, rows in shown if rows]
    if not shown:
        return []
    units = max(len(rows) for _, rows in shown)
    with look():
        widths = ([1.0] * len(COLUMNS) + [0.15]) * units
        size = {"height": 1.25 * len(shown) + 0.4, "width": 0.95 * sum(widths) + 1.4}
        figure, axes = canvas(len(shown), len(widths), **size, gridspec_kw={"width_ratios": widths})
        for axis in axes.flat:
            axis.set_axis_off()
        for line, (label, rows) in zip(axes, shown, strict=True):
            for index, row in enumerate(rows):
                first = index * (len(COLUMNS) + 1)
                _triple(line[first : first + len(COLUMNS)], row, report.data.shape)
            line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        for axis, column in zip(axes[0], [*COLUMNS.values(), ""] * units, strict=True):
            axis.set_title(column, fontsize=8.5)
        image = report.picture(
            "targeted-images", figure, "Bases, targets and poisons by number of poisons and watermark"
        )
    return [
        image,
        "*Pixels as they are, enlarged: for some units a base, the target, and the poison made from that base. Below "
        "each: the feature ratio and the input ratio of the unit's poisons, as explained above; a small first one is a "
        "collision, a small second one a poison that looks like its base.*",
    ]


def pictured(rows: Table) -> list[Row]:
    """The rows that hold all three pictures."""
    if not set(COLUMNS) <= set(rows.columns):
        return []
    return [row for row in rows if all(row[column] is not None for column in COLUMNS)]


def pixels(row: Row, column: str, shape: Shape) -> npt.NDArray[np.uint8]:
    """A picture (h, w, c) of 8 bits per value from its cell; ``shape`` is (c, h, w).

    ReproError for a cell that is no picture of that shape.
    """
    try:
        values = bytes.fromhex(str(row[column]).removeprefix("x"))
    except ValueError:
        raise ReproError(f"evidence: column {column!r} of unit {row['unit']} is not hexadecimal") from None
    channels, height, width = shape
    if len(values) != channels * height * width:
        raise ReproError(
            f"evidence: column {column!r} of unit {row['unit']} has {len(values)} values, not the "
            f"{channels * height * width} of an image {channels}x{height}x{width}"
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(height, width, channels)


def _triple(axes: Any, row: Row, shape: Shape) -> None:
    """Base, target and poison of one row, the distances under the poison."""
    for axis, column in zip(axes, COLUMNS, strict=True):
        image = pixels(row, column, shape)
        axis.set_axis_on()
        axis.imshow(
            image[..., 0] if shape[0] == 1 else image, cmap="gray", vmin=0, vmax=255, interpolation="nearest"
        )
        axis.grid(visible=False)
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(True)
    ratios = [f"{words} {number(numeric(row, column))}" for column, words in _RATIOS.items() if column in row]
    axes[-1].set_xlabel("\n".join(ratios), fontsize=7)
    for axis, column in zip(axes, ("base_class", "target_class"), strict=False):
        axis.set_xlabel(f"class {row[column]}", fontsize=7)
