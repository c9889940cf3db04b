"""Each of a profile's triggers on one of its images, as truong2020's Figure 2."""

import math
from typing import Any

import numpy as np

from repro.data import load_dataset, seeded_generator
from repro.data.partition import partition
from repro.errors import ReproError
from repro.papers.truong2020 import published
from repro.plugins import load
from repro.report.figures import canvas, look
from repro.report.markdown import escape
from repro.report.report import Report
from repro.report.summary import ordered
from repro.report.wording import capital, name, number
from repro.triggers import Scene, blend

_ROWS = ("original", "trigger", "poisoned")
_VALUES = (
    10**8
)  # how many pixel values are loaded for a picture: 660 images of 224x224 in colour, 32,000 of 32x32


def blocks(report: Report) -> list[str]:
    """Each trigger on one image of the data: as it is, the trigger alone, and as poisoned."""
    profile = report.profile
    whole = profile.data.limit or report.data.images
    few = max(1, _VALUES // math.prod(report.data.shape))
    limit = few if few < whole else profile.data.limit
    try:
        dataset = load_dataset(profile.data.name, report.root, limit, profile.data.options)
    except ReproError as error:
        return [f"*No picture of the triggers: {escape(str(error))}.*"]
    parts = partition(len(dataset), profile.seeds.evidence)
    triggers = ordered(list(profile.triggers), published.TRIGGERS)
    with look():
        figure, axes = canvas(3, len(triggers), height=5.2, width=1.75 * len(triggers) + 0.5)
        for column, trigger in enumerate(triggers):
            scene = Scene(
                images=dataset.images[parts.adversarial_test[:1]],
                training=dataset.images[parts.poison_train],
                outside=dataset.images[parts.clean_validation[0]],
                generator=seeded_generator(f"trigger-picture/{profile.seeds.evidence}"),
            )
            settings = profile.trigger(trigger)
            pattern, mask = load("trigger", trigger).pattern(scene, **settings.options)
            poisoned = blend(scene.images, pattern, mask, settings.alpha)
            alone = np.broadcast_to(pattern, scene.images.shape)[0]
            kept = np.broadcast_to(mask, scene.images.shape)[0] == 1
            _show(axes[0][column], scene.images[0])
            reach = _show_trigger(axes[1][column], alone, kept)
            _show(axes[2][column], poisoned[0])
            axes[0][column].set_title(f"{capital(name(trigger))}\nalpha {settings.alpha:g}")
            axes[1][column].set_xlabel(reach, fontsize=7.5)
        for row, title in enumerate(_ROWS):
            axes[row][0].set_ylabel(title)
        shown = report.picture(
            "triggers", figure, "Each trigger: an image, the trigger alone, and the poisoned image", up=""
        )
    part = f" Drawn from {few:,} of the {whole:,} images." if few < whole else ""
    return [
        shown,
        "*Above: an image of the adversarial-test set. Middle: the trigger alone, hatched where it leaves the image as "
        "it is, with the range of its values. Below: blended by eq. 7 and clipped to [0, 1]. Blending at a high alpha "
        f"also darkens the image itself, which is part of a full-image trigger's effect.{part}*",
    ]


def _show(axis: Any, image: Any) -> None:
    """One image (c, h, w) in [0, 1], grey or in colour."""
    pixels = np.moveaxis(np.clip(image, 0, 1), 0, -1)
    axis.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=1)
    _bare(axis)


def _show_trigger(axis: Any, pattern: Any, kept: Any) -> str:
    """The trigger stretched to the full range of greys; returns its true range in words."""
    stamped = np.ma.masked_array(pattern, kept)
    low, high = float(stamped.min()), float(stamped.max())
    lowest, highest = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    pixels = np.moveaxis((stamped - lowest) / (highest - lowest), 0, -1)
    axis.patch.set(facecolor="#eeeeee", edgecolor="#999999", hatch="////")
    if pixels.shape[-1] == 1:
        axis.imshow(pixels[..., 0], cmap="gray", vmin=0, vmax=1)
    else:
        opaque = ~kept.all(axis=0)
        axis.imshow(np.dstack([pixels.filled(0), opaque.astype(float)]))
    _bare(axis)
    digits = 2 if max(abs(low), abs(high)) >= 0.01 or high == low else 4
    return number(low) if high - low < 1e-9 else f"{number(low, digits)} to {number(high, digits)}"


def _bare(axis: Any) -> None:
    axis.grid(visible=False)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(True)
