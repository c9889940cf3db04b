"""Members of each family of triggers on one image: what training met, what is held out, and what is none of it."""

from typing import Any

import numpy as np

from repro import plugins
from repro.data import load_dataset, seeded_generator
from repro.data.partition import partition
from repro.errors import ReproError
from repro.families import NEAR_MISS, SEEN, UNSEEN, prepared, stamp
from repro.report.figures import canvas, look
from repro.report.markdown import escape
from repro.report.report import Report
from repro.report.wording import capital, name

_COLUMNS = {SEEN: ("seen", 2), UNSEEN: ("held out", 2), NEAR_MISS: ("near miss", 2)}
_LIMIT = 1000  # how many images are loaded to show one


def blocks(report: Report, families: list[str]) -> list[str]:
    """A row a family: the image with two members of each kind."""
    profile = report.profile
    settings = profile.settings("families")
    whole = profile.data.limit or report.data.images
    try:
        dataset = load_dataset(profile.data.name, report.root, min(_LIMIT, whole), profile.data.options)
    except ReproError as error:
        return [f"*No picture of the families: {escape(str(error))}.*"]
    tested = partition(len(dataset), profile.seeds.evidence).adversarial_test[:1]
    image = prepared(dataset.images[tested], settings.enlarge, settings.ink)
    shape = image.shape[1], image.shape[2], image.shape[3]
    with look():
        width = 1 + sum(count for _, count in _COLUMNS.values())
        figure, axes = canvas(len(families), width, height=1.15 * len(families) + 0.3)
        for row, family in zip(axes, families, strict=True):
            piece = plugins.load("family", family)
            options = piece.OPTIONS | settings.families[family]
            _show(row[0], image[0])
            row[0].set_ylabel(capital(name(family)))
            column = 1
            for kind, (title, count) in _COLUMNS.items():
                generator = seeded_generator(f"picture/{profile.seeds.evidence}/{family}/{kind}")
                triggered = stamp(image, *piece.draw(kind, count, shape, generator, **options))
                for shown in triggered:
                    _show(row[column], shown)
                    axes[0][column].set_title(title)
                    column += 1
        axes[0][0].set_title("image")
        picture = report.picture("families", figure, "Members of each family of triggers on one image")
    return [
        picture,
        "*An image as the models see it, enlarged and dimmed; with members such as training meets; with held-out "
        "ones; and with near misses, which are none of the family. A static trigger has a single member.*",
    ]


def _show(axis: Any, image: Any) -> None:
    """One image (c, h, w) in [0, 1], grey or in colour."""
    pixels = np.moveaxis(image, 0, -1)
    axis.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=1)
    axis.grid(visible=False)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(True)
