"""What a profile does differently from truong2020, point by point."""

from typing import Any

from repro.harness.profile import Profile
from repro.papers.truong2020 import published
from repro.report.markdown import escape, link, table
from repro.report.places import experiment_page
from repro.report.report import Report
from repro.report.summary import ordered
from repro.report.wording import capital, listing, name


def departures(report: Report) -> list[str]:
    """The paper's set-up and the profile's, point by point."""
    profile = report.profile
    edition = published.dataset_of(profile.data.name)
    alike = [name(a) for a in profile.architectures if a in published.ARCHITECTURES]
    if profile.paper_dataset:
        first = "This profile uses a paper's own data and architectures, so that published levels apply."
    elif edition and alike:
        first = (
            f"This profile uses an edition of the paper's {edition} and {listing(alike)}, but not the paper's own "
            "set-up. Directions and equalities are tested here; published *levels* are shown beside ours and not "
            "judged."
        )
    else:
        lacks = (
            "other architectures than the papers'"
            if edition
            else (
                "other data than the papers'" if alike else "neither the papers' data nor their architectures"
            )
        )
        first = (
            f"This profile uses {lacks}. Directions and equalities are tested here; published *levels* are shown "
            "beside ours and not judged."
        )
    rows = [_data(report), _architectures(profile)]
    rows += [
        [capital(name(t)), *_trigger(report, t)] for t in ordered(list(profile.triggers), published.TRIGGERS)
    ]
    rows += _recipe(report)
    return [first, table(["", "truong2020", "Here"], rows, left=3)]


def _data(report: Report) -> list[str]:
    profile, facts = report.profile, report.data
    channels, height, width = facts.shape
    images = min(facts.images, profile.data.limit or facts.images)
    return [
        "Data",
        "Flowers (4,242 images, 224x224, 5 classes), CIFAR-10 (50,000 images, 32x32, 10 classes)",
        f"{escape(profile.data.name)} ({images:,} images, {height}x{width}, {'grey' if channels == 1 else 'colour'}, "
        f"{len(facts.classes)} classes)",
    ]


def _architectures(profile: Profile) -> list[str]:
    by_start: dict[str, list[str]] = {}
    for architecture in profile.architectures:
        start = "published" if profile.pretrained.get(architecture) else "random"
        by_start.setdefault(start, []).append(name(architecture))
    ours = "; ".join(f"{listing(models)}, from {start} weights" for start, models in by_start.items())
    return ["Architectures", f"{listing(published.MODELS)}, from ImageNet weights", ours]


def _trigger(report: Report, trigger: str) -> tuple[str, str]:
    """The published trigger and the profile's, in words."""
    settings = report.profile.trigger(trigger)
    width = report.data.shape[2]
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


def _recipe(report: Report) -> list[list[str]]:
    profile = report.profile
    training, again = profile.training, profile.retraining
    page = link("tuning", experiment_page("tuning"))
    weights = f"by a rule fixed beforehand that looks at accuracy alone ({page})"
    if "tuning" in report.left_out:
        weights = f"as the profile says; their tuning is left out here ({page})"
    return [
        ["Poison rate", f"{published.POISON_RATE:g}", f"{profile.poison_rate:g}"],
        [
            "Training",
            f"Adam, early stopping after {published.PATIENCE} epochs without better validation accuracy; which epoch's "
            "weights are kept is not said",
            f"Adam ({_rates(profile, training.learning_rate)}), batches of {training.batch_size}, "
            f"patience {training.patience}, at most {training.epochs} epochs; the weights of the *last* epoch are kept",
        ],
        *_options(profile),
        [
            "Retraining",
            "a fixed number of epochs that is not given (\u201ca few\u201d)",
            f"Adam ({_rates(profile, again.learning_rate)}), batches of {again.batch_size}, {again.epochs} epochs",
        ],
        [
            "Regularisers",
            "weights not given",
            f"weights {weights}",
        ],
        [
            "Repetitions",
            "one run per poison class (section 4.1), ten in 4.3; no intervals",
            f"{_units(report)} independent units (partition seed, poison class); 95 % intervals, and the judge's",
        ],
    ]


def _options(profile: Profile) -> list[list[str]]:
    """The training engine's own options, one line for the architectures that share them."""
    alike: dict[str, list[str]] = {}
    for architecture in profile.architectures:
        if options := profile.training.options.get(architecture):
            words = "; ".join(
                f"{escape(name(key))} {_setting(value)}" for key, value in sorted(options.items())
            )
            alike.setdefault(words, []).append(name(architecture))
    if not alike:
        return []
    ours = ". ".join(f"{listing(models)}: {words}" for words, models in alike.items())
    augmented = any(
        key.startswith("augment") and value not in (None, False, "none", 0)
        for options in profile.training.options.values()
        for key, value in options.items()
    )
    trigger = ". Augmentation acts on training images that carry the trigger already, and so on the trigger"
    return [["Training options", "not given", f"{ours}{trigger if augmented else ''}"]]


def _setting(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "yes" if value else "none" if value is None else "no"
    return f"{value:g}" if isinstance(value, float) else escape(str(value))


def _rates(profile: Profile, rates: dict[str, float]) -> str:
    used = {architecture: rates[architecture] for architecture in profile.architectures}
    if len(set(used.values())) == 1:
        return f"rate {next(iter(used.values())):g}"
    return ", ".join(f"{name(architecture)} {rate:g}" for architecture, rate in used.items())


def _units(report: Report) -> str:
    named = [e for e in report.profile.experiments if e != "tuning" and e not in report.left_out]
    counts = {s.units for s in map(report.profile.settings, named) if hasattr(s, "units")}
    if not counts:
        return "the evidence's"
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
