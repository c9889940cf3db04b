"""Decoded paths through an autoencoder's latent space, as the evidence keeps them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from repro.errors import ReproError
from repro.harness.evidence.table import Row, Table
from repro.report.figures import canvas, look
from repro.report.report import Report

COLUMNS = {
    "interpolation_images": "another class \u2192 poison class",
    "traversal_images": "chosen dimension, \u22122 to +2 deviations",
}

Shape = tuple[int, int, int]


def blocks(report: Report, evidence: Table, conditions: list[tuple[str, Table]]) -> list[str]:
    """A row a unit and condition, both paths side by side; nothing where the evidence has no pictures.

    ``conditions``: the evidence's rows by training set, each with its label.
    """
    if not set(COLUMNS) <= set(evidence.columns):
        return []
    chosen = [(label, row) for label, rows in conditions for row in rows if row["traversal_images"]]
    chosen.sort(key=lambda labelled: str(labelled[1]["unit"]))
    if not chosen:
        return []
    paths = [[images(row, column, report.data.shape) for column in COLUMNS] for _, row in chosen]
    length = max(len(path) for pair in paths for path in pair)
    with look():
        widths = [1.0] * length + [0.3] + [1.0] * length
        size = {"height": 0.47 * len(chosen) + 0.35, "width": 0.42 * len(widths) + 1.6}
        figure, axes = canvas(len(chosen), len(widths), **size, gridspec_kw={"width_ratios": widths})
        figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
        for axis in axes.flat:
            axis.set_axis_off()
        for line, pair, (label, row) in zip(axes, paths, chosen, strict=True):
            for start, path in zip((0, length + 1), pair, strict=True):
                for axis, image in zip(line[start:], path, strict=False):
                    _show(axis, image)
            line[0].set_ylabel(
                f"{row['unit']}, class {row['poison_class']}\n{label.lower()}",
                rotation=0,
                ha="right",
                va="center",
                fontsize=7,
            )
        for start, title in zip((0, length + 1), COLUMNS.values(), strict=True):
            # The blank keeps room above; the title itself would widen the column of its first picture.
            axes[0][start].set_title(" ", fontsize=8)
            words = axes[0][start].text(
                0, 1.12, title, fontsize=8, transform=axes[0][start].transAxes, va="bottom"
            )
            words.set_in_layout(False)
        picture = report.picture(
            "latent-paths", figure, "Decoded paths through the latent space, by training set"
        )
    return [
        picture,
        "*Decoded images, enlarged, of the first units. Left: from the mean code of the class next to the poison class "
        "to that of the poison class. Right: the mean code, moved along the dimension that tells triggered images "
        "best; which end is the trigger's is the autoencoder's choice. Within a unit the autoencoders start alike and "
        "differ in their training set.*",
    ]


def images(row: Row, column: str, shape: Shape) -> list[npt.NDArray[np.uint8]]:
    """A cell's pictures (h, w, c) of 8 bits a value; ``shape`` is (c, h, w).

    ReproError for a cell that holds anything else.
    """
    channels, height, width = shape
    found = []
    for text in str(row[column]).removeprefix("x").split(" "):
        try:
            values = bytes.fromhex(text)
        except ValueError:
            raise ReproError(
                f"evidence: column {column!r} of unit {row['unit']} is not hexadecimal"
            ) from None
        if len(values) != channels * height * width:
            raise ReproError(
                f"evidence: column {column!r} of unit {row['unit']} has a picture of {len(values)} values, not the "
                f"{channels * height * width} of an image {channels}x{height}x{width}"
            )
        found.append(np.frombuffer(values, dtype=np.uint8).reshape(height, width, channels))
    return found


def _show(axis: Any, image: npt.NDArray[np.uint8]) -> None:
    axis.set_axis_on()
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.grid(visible=False)
    axis.set_xticks([])
    axis.set_yticks([])
