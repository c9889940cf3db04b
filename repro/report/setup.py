"""What a profile is and what it does differently from truong2020, said plainly."""

from typing import Any

from repro.profiles import Profile
from repro.report import published
from repro.report.markdown import bullets, code, escape, link, table
from repro.report.places import SETUP, experiment_page
from repro.report.report import Report
from repro.report.summary import ordered
from repro.report.wording import capital, listing, name, sentence


def head(report: Report) -> list[str]:
    """The data's edition, where the weights come from, and, of a slice, what it is a slice of."""
    profile = report.profile
    slice_of = profile.slice_of
    facts = [f"Data: {_editions(report)}.", f"Models start from {_weights(profile)}."]
    if slice_of:
        rest = "it runs all of that profile's experiments"
        if report.left_out:
            rest = f"it leaves out some of its experiments ({link('which, and why', f'{SETUP}#left-out')})"
        facts.append(
            f"**A slice of profile {code(slice_of)}**: the same reproduction at a smaller size, not the whole of it; "
            f"{rest}."
        )
    return [bullets(facts)]


def left_out(report: Report) -> list[str]:
    """The experiments that the profile leaves out, each with the reason."""
    return [
        bullets(
            f"{link(escape(experiment.replace('_', ' ')), experiment_page(experiment))}: {sentence(reason)}"
            for experiment, reason in report.left_out.items()
        )
    ]


def _editions(report: Report) -> str:
    """The dataset with the edition that the evidence's provenance names; several where experiments differ."""
    profile = report.profile
    editions: dict[str, list[str]] = {}
    for experiment, content in report.provenance.items():
        data = content.get("data") or {}
        if variant := data.get("variant"):
            editions.setdefault(f"{data.get('name', profile.data.name)}, {variant}", []).append(experiment)
    if not editions:
        limit = f", {profile.data.limit:,} images" if profile.data.limit else ""
        return f"{escape(profile.data.name)}{limit}; no evidence names its edition yet"
    if len(editions) == 1:
        return escape(next(iter(editions)))
    return "; ".join(f"{escape(edition)} ({', '.join(map(code, of))})" for edition, of in editions.items())


def _weights(profile: Profile) -> str:
    """Where the models' weights come from, in words."""
    published_weights = [a for a in profile.architectures if profile.pretrained.get(a)]
    if not published_weights:
        return "**random weights**, not from published ones as in the paper"
    if len(published_weights) == len(profile.architectures):
        return "**published weights**, trained on other data, as in the paper"
    random = [a for a in profile.architectures if a not in published_weights]
    return (
        f"**published weights** ({listing([name(a) for a in published_weights])}), as in the paper, and **random "
        f"weights** ({listing([name(a) for a in random])})"
    )


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
            "one run a poison class (section 4.1), ten in 4.3; no intervals",
            f"{_units(report)} independent units (partition seed, poison class); 95 % intervals, and the judge's",
        ],
    ]


def _options(profile: Profile) -> list[list[str]]:
    """The training engine's own options, an architecture or more a line."""
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
    counts = {
        s["units"]
        for e, s in report.profile.experiments.items()
        if isinstance(s.get("units"), int) and e != "tuning" and e not in report.left_out
    }
    if not counts:
        return "the evidence's"
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
