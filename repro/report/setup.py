"""What this profile does differently from truong2020, said plainly, and a picture of each of its triggers."""

from typing import Any

import numpy as np

from repro.data import dataset_piece, load_dataset, seeded_generator
from repro.data.partition import partition
from repro.errors import ReproError
from repro.plugins import load
from repro.profiles import Profile
from repro.report import published
from repro.report.figures import canvas, look
from repro.report.markdown import escape, table
from repro.report.report import Report
from repro.report.summary import ordered
from repro.report.wording import capital, listing, name, number
from repro.triggers import Scene, blend

_ROWS = ("original", "trigger", "poisoned")


def departures(report: Report) -> list[str]:
    """The paper's set-up and the profile's, point by point."""
    profile = report.profile
    if profile.paper_setup:
        first = "This profile uses a paper's own data and architectures, so that published levels apply."
    else:
        first = (
            "This profile uses neither the papers' data nor their architectures. Directions and equalities are tested "
            "here; published *levels* are shown beside ours and not judged."
        )
    rows = [_data(profile), _architectures(profile)]
    rows += [
        [capital(name(t)), *_trigger(profile, t)] for t in ordered(list(profile.triggers), published.TRIGGERS)
    ]
    rows += _recipe(profile)
    return [first, table(["", "truong2020", "Here"], rows, left=3)]


def _data(profile: Profile) -> list[str]:
    piece = dataset_piece(profile.data.name)
    channels, height, width = piece.SHAPE
    images = min(piece.IMAGES, profile.data.limit or piece.IMAGES)
    return [
        "Data",
        "Flowers (4,242 images, 224x224, 5 classes), CIFAR-10 (50,000 images, 32x32, 10 classes)",
        f"{escape(profile.data.name)} ({images:,} images, {height}x{width}, {'grey' if channels == 1 else 'colour'}, "
        f"{len(piece.CLASSES)} classes)",
    ]


def _architectures(profile: Profile) -> list[str]:
    return [
        "Architectures",
        f"{listing(published.MODELS)}, from ImageNet weights",
        f"{listing([name(a) for a in profile.architectures])}, from random weights",
    ]


def _trigger(profile: Profile, trigger: str) -> tuple[str, str]:
    """The published trigger and the profile's, in words."""
    settings = profile.trigger(trigger)
    width = dataset_piece(profile.data.name).SHAPE[2]
    options = settings.options
    theirs, alpha = "not in the paper", published.ALPHA.get(trigger)
    ours = ", ".join(f"{escape(name(key))} {value:g}" for key, value in options.items())
    if trigger in ("square", "random_square"):
        fixed = trigger == "square"
        place = f", {options['offset']} from the top and left" if fixed else ", at a random place"
        share = 100 * published.SQUARE / published.IMAGE_SIZE
        theirs = f"black, {published.SQUARE} of {published.IMAGE_SIZE} pixels wide ({share:.0f} %)" + (
            ", 22 from the top and left" if fixed else ", at a random place"
        )
        size = f"{options['size']} of {width} pixels wide ({100 * options['size'] / width:.0f} %)"
        ours = f"{_grey(options['value'])}, {size}{place}"
    elif trigger == "sine":
        theirs = f"amplitude 0.4, {published.SINE_CYCLES:g} cycles an image"
        ours = f"amplitude {options['amplitude']:g}, {options['cycles']:g} cycles an image"
    elif trigger == "low_variance":
        theirs = "last principal components with 0.5 % of the variance"
        ours = f"last principal components with {100 * options['variance']:g} % of the variance"
    first = theirs if alpha is None else f"{theirs}; alpha {alpha:g}"
    return first, f"{ours}; alpha {settings.alpha:g}"


def _grey(value: float) -> str:
    return {0.0: "black", 1.0: "white"}.get(float(value), f"grey ({value:g})")


def _recipe(profile: Profile) -> list[list[str]]:
    training, again = profile.training, profile.retraining
    return [
        ["Poison rate", f"{published.POISON_RATE:g}", f"{profile.poison_rate:g}"],
        [
            "Training",
            f"Adam, early stopping after {published.PATIENCE} epochs without better validation accuracy; which epoch's "
            "weights are kept is not said",
            f"Adam ({_rates(training.learning_rate)}), batches of {training.batch_size}, patience {training.patience}, "
            f"at most {training.epochs} epochs; the weights of the *last* epoch are kept",
        ],
        [
            "Retraining",
            "a fixed number of epochs that is not given (\u201ca few\u201d)",
            f"Adam ({_rates(again.learning_rate)}), batches of {again.batch_size}, {again.epochs} epochs",
        ],
        [
            "Regularisers",
            "weights not given",
            "weights by a rule fixed beforehand that looks at accuracy alone ([tuning](#tuning))",
        ],
        [
            "Repetitions",
            "one run a poison class (section 4.1), ten in 4.3; no intervals",
            f"{_units(profile)} independent units (partition seed, poison class); 95 % intervals, and the judge's",
        ],
    ]


def _rates(rates: dict[str, float]) -> str:
    if len(set(rates.values())) == 1:
        return f"rate {next(iter(rates.values())):g}"
    return ", ".join(f"{name(architecture)} {rate:g}" for architecture, rate in rates.items())


def _units(profile: Profile) -> str:
    counts = {
        s["units"]
        for e, s in profile.experiments.items()
        if isinstance(s.get("units"), int) and e != "tuning"
    }
    if not counts:
        return "the evidence's"
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def trigger_pictures(report: Report) -> list[str]:
    """Each trigger on one image of the data: as it is, the trigger alone, and as poisoned."""
    profile = report.profile
    try:
        dataset = load_dataset(profile.data.name, report.root, profile.data.limit)
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
            "triggers", figure, "Each trigger: an image, the trigger alone, and the poisoned image"
        )
    return [
        shown,
        "*Above: an image of the adversarial-test set. Middle: the trigger alone, hatched where it leaves the image as "
        "it is, with the range of its values. Below: blended by eq. 7 and clipped to [0, 1]. Blending at a high alpha "
        "also darkens the image itself, which is part of a full-image trigger's effect.*",
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
    return f"{number(low)}" if high - low < 1e-9 else f"{number(low)} to {number(high)}"


def _bare(axis: Any) -> None:
    axis.grid(visible=False)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(True)
