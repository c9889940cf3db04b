"""What a profile's fields alone do not show: that the pieces it names exist, and take its options and images."""

from typing import TYPE_CHECKING, Any

from repro import plugins
from repro.errors import ReproError
from repro.harness.runs import engine_of

if TYPE_CHECKING:
    from repro.harness.profile import Profile

LEAST_IMAGES = 20  # per class: the adversarial-test set is a twentieth


def check_pieces(profile: "Profile", where: str) -> None:
    """Names exist, options are known, and every trigger fits the images."""
    check_named("dataset", profile.data.name, f"{where}: data.name")
    try:
        dataset = profile.facts()
    except ReproError as error:
        raise ReproError(f"{where}: data: {error}") from None
    if profile.data.limit and profile.data.limit > dataset.images:
        raise ReproError(
            f"{where}: data.limit: {profile.data.limit}, but {profile.data.name} has {dataset.images} images"
        )
    least = LEAST_IMAGES * len(dataset.classes)
    if profile.data.limit and profile.data.limit < least:
        raise ReproError(
            f"{where}: data.limit: {profile.data.limit}, at least {least} are needed, 20 per class"
        )
    _check_engines(profile, where)
    for architecture in profile.architectures:
        for field, rates in (
            ("training", profile.training.learning_rate),
            ("retraining", profile.retraining.learning_rate),
        ):
            if architecture not in rates:
                raise ReproError(f"{where}: {field}.learning_rate: none for architecture {architecture!r}")
        check_named("architecture", architecture, f"{where}: architectures")
    for name, settings in profile.triggers.items():
        field = f"{where}: triggers.{name}"
        check_named("trigger", name, field)
        piece = plugins.load("trigger", name)
        _known(settings.options, piece.OPTIONS, field)
        try:
            piece.check(dataset.shape, **(piece.OPTIONS | settings.options))
        except ReproError as error:
            raise ReproError(f"{field}: {error}") from None
    for name, defence in profile.defences.items():
        check_named("defence", name, f"{where}: defences")
        _known(defence.options, plugins.options("defence", name), f"{where}: defences.{name}")
        for architecture in profile.architectures:
            if architecture not in defence.weight:
                raise ReproError(f"{where}: defences.{name}.weight: none for architecture {architecture!r}")
    for name in profile.experiments:
        check_named("experiment", name, f"{where}: experiments")
    for name in profile.leaves_out:
        check_named("experiment", name, f"{where}: leaves_out")
        if name in profile.experiments:
            raise ReproError(f"{where}: leaves_out.{name}: experiments sizes it; one or the other")
    for name in plugins.names("experiment"):
        if name in profile.leaves_out:
            continue
        settings = profile.settings(name)
        named = getattr(settings, "architecture", None)
        if named is not None:
            check_named("architecture", named, f"{where}: experiments.{name}.architecture")
            # An experiment without its own rate trains by the profile's recipe.
            if not hasattr(settings, "learning_rate") and named not in profile.training.learning_rate:
                raise ReproError(f"{where}: training.learning_rate: none for {named!r}, which {name} names")


def _check_engines(profile: "Profile", where: str) -> None:
    """Architectures named for options or published weights exist, and their engines support these."""
    for architecture, options in profile.training.options.items():
        check_named("architecture", architecture, f"{where}: training.options")
        known = plugins.options("engine", engine_of(architecture))
        _known(options, known, f"{where}: training.{architecture}")
    for architecture, wanted in profile.pretrained.items():
        check_named("architecture", architecture, f"{where}: pretrained")
        if wanted and engine_of(architecture) == "stacked":
            raise ReproError(f"{where}: pretrained.{architecture}: there are no published weights")


def check_named(kind: str, name: str, field: str) -> None:
    """Raise ReproError, which begins with the field, when there is no such piece."""
    try:
        plugins.module_name(kind, name)
    except ReproError as error:
        raise ReproError(f"{field}: {error}") from None


def _known(given: dict[str, Any], options: dict[str, Any], field: str) -> None:
    for option, value in given.items():
        if option not in options:
            raise ReproError(f"{field}.options: unknown option {option!r} (known: {', '.join(options)})")
        default = options[option]
        if isinstance(default, bool) and type(value) is not bool:
            raise ReproError(f"{field}.options.{option}: {value!r} is neither true nor false")
        if isinstance(default, float) and type(value) not in (int, float):
            raise ReproError(f"{field}.options.{option}: {value!r} is not a number")
        if type(default) is int and type(value) is not int:
            raise ReproError(f"{field}.options.{option}: {value!r} is not a whole number")
