"""Profiles: which data, models, grids and recipe a reproduction uses, one YAML file each, validated when read."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from repro import plugins
from repro.errors import ReproError
from repro.profiles import reading
from repro.reading import checked, read_mapping
from repro.runs import Backdoor, Data, Defence, Trigger, engine_of
from repro.training.recipe import Recipe

if TYPE_CHECKING:
    from repro.data.datasets import Facts

M = TypeVar("M", bound=BaseModel)
V = TypeVar("V")
LEAST_IMAGES = 20  # a class: the adversarial-test set is a twentieth

FOLDER = Path(__file__).resolve().parent

Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def _each_once(values: list[V]) -> list[V]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} is listed twice")
    return values


Names = Annotated[list[str], Field(min_length=1), AfterValidator(_each_once)]
Rates = Annotated[list[Fraction], Field(min_length=1), AfterValidator(_each_once)]
Weights = Annotated[list[Positive], Field(min_length=1), AfterValidator(_each_once)]
Alphas = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1), AfterValidator(_each_once)]


class Strict(BaseModel):
    """A section of a profile: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(Strict):
    """Which dataset, its piece's options, and how many of its images (all when ``limit`` is null)."""

    name: str
    limit: Count | None = None
    options: dict[str, Any] = {}


class TrainingSettings(Strict):
    """Adam's rate an architecture, when to stop (truong2020 3: patience 5), and options of the engine."""

    learning_rate: dict[str, Positive]
    batch_size: Count
    epochs: Count
    patience: Count
    options: dict[str, dict[str, Any]] = {}


class RetrainingSettings(Strict):
    """Adam's rate an architecture, and the fixed number of clean epochs."""

    learning_rate: dict[str, Positive]
    batch_size: Count
    epochs: Count


class TriggerSettings(Strict):
    """A trigger's transparency and the options of its piece."""

    alpha: Annotated[float, Field(ge=0, le=1)]
    options: dict[str, Any] = {}


class DefenceSettings(Strict):
    """A defence's weight an architecture, as tuned, and the options of its piece."""

    weight: dict[str, Annotated[float, Field(ge=0)]]
    options: dict[str, Any] = {}


class Seeds(Strict):
    """First partition seed of the evidence, and of the tuning; each unit takes the next one."""

    evidence: Annotated[int, Field(ge=0)]
    tuning: Annotated[int, Field(ge=0)]


class Parameters(Strict):
    """``params.yaml``: the profile's name and the seeds."""

    profile: str
    seeds: Seeds


class Profile(Strict):
    """One reproduction: what ``repro/profiles/<name>.yaml`` says, with the seeds of ``params.yaml``.

    ``paper_dataset`` names the paper's dataset where the profile uses it, and the paper's models: only there published
    levels are judged.
    """

    name: str
    seeds: Seeds
    title: str
    slice_of: str | None = None
    paper_dataset: str | None = None
    not_applicable: dict[str, str] = {}
    data: DataSettings
    device: Literal["auto", "cpu", "cuda"] = "auto"
    fleet: Count
    architectures: Names
    pretrained: dict[str, bool] = {}
    training: TrainingSettings
    fixed_epochs: Count
    retraining: RetrainingSettings
    poison_rate: Fraction
    triggers: dict[str, TriggerSettings]
    defences: dict[str, DefenceSettings]
    experiments: dict[str, dict[str, Any]]
    leaves_out: dict[str, str] = {}

    def dataset(self) -> Data:
        """The data every run uses."""
        return self._once("data", lambda: Data(self.data.name, self.data.limit, self.data.options))

    def classes(self) -> int:
        """Number of the dataset's classes."""
        return len(self.facts().classes)

    def facts(self) -> "Facts":
        """The dataset's shape, classes, size and checksum."""
        return self._once(
            "facts", lambda: _facts(self.data.name, json.dumps(self.data.options, sort_keys=True))
        )

    def recipe(self, architecture: str, *, early_stopping: bool = True) -> Recipe:
        """The training recipe: early stopping, or the fixed number of epochs beside it."""
        return self._once(
            f"recipe {architecture} {early_stopping}", lambda: self._recipe(architecture, early_stopping)
        )

    def _recipe(self, architecture: str, early_stopping: bool) -> Recipe:
        t = self.training
        rate = t.learning_rate[architecture]
        if early_stopping:
            return Recipe(rate, t.batch_size, t.epochs, t.patience, self._options(architecture))
        return Recipe(rate, t.batch_size, self.fixed_epochs, options=self._options(architecture))

    def retraining_recipe(self, architecture: str) -> Recipe:
        """The clean retraining's recipe."""
        r = self.retraining
        return self._once(
            f"retraining {architecture}",
            lambda: Recipe(
                r.learning_rate[architecture],
                r.batch_size,
                r.epochs,
                options=self._options(architecture),
            ),
        )

    def _options(self, architecture: str) -> dict[str, Any]:
        """Every option of the architecture's engine."""
        own = self.training.options.get(architecture, {})
        return plugins.options("engine", engine_of(architecture)) | own

    def trigger(self, name: str, alpha: float | None = None) -> Trigger:
        """A trigger with every option of its piece filled in, at its own alpha or at another."""
        settings = self._named_section("triggers", self.triggers, name)
        shown = settings.alpha if alpha is None else alpha
        return self._once(
            f"trigger {name} {shown!r}",
            lambda: Trigger(name, shown, plugins.load("trigger", name).OPTIONS | settings.options),
        )

    def backdoor(self, poison_class: int, trigger: str, source_class: int | None = None) -> Backdoor:
        """The profile's backdoor attack at its poison rate."""
        return Backdoor(poison_class, self.trigger(trigger), self.poison_rate, source_class)

    def defence(self, name: str, architecture: str) -> Defence:
        """A defence at the weight tuned for an architecture."""
        if name == "none":
            return Defence()
        settings = self.defence_settings(name)
        return Defence(name, settings.weight[architecture], settings.options)

    def defence_settings(self, name: str) -> DefenceSettings:
        """What the profile says of a defence."""
        return self._named_section("defences", self.defences, name)

    def _named_section(self, field: str, section: dict[str, M], name: str) -> M:
        if name not in section:
            raise ReproError(
                f"profile {self.name}: {field}: none is called {name!r}, which an experiment names"
            )
        return section[name]

    def settings(self, experiment: str) -> Any:
        """The profile's settings for an experiment, validated by its piece."""
        return self._once(
            f"settings {experiment}",
            lambda: checked(
                plugins.load("experiment", experiment).Settings,
                self.experiments.get(experiment, {}),
                f"profile {self.name}: experiments.{experiment}",
            ),
        )

    def _once(self, what: str, make: Callable[[], V]) -> V:
        """What is the same however often it is asked for, made once; a changed copy of the profile makes its own."""
        if _made.get("of") is not self:
            _made.clear()
            _made["of"] = self
        if what not in _made:
            _made[what] = make()
        found: V = _made[what]
        return found


_made: dict[str, Any] = {}
"""What `Profile._once` made for the profile under "of"."""


@cache
def _facts(dataset: str, options: str) -> "Facts":
    from repro.data import describe

    return describe(dataset, json.loads(options))


def names() -> tuple[str, ...]:
    """All profiles, sorted."""
    return reading.names(FOLDER)


def load_parameters(root: Path) -> Parameters:
    """``params.yaml`` of a project; raises ReproError naming file and field."""
    path = root / "params.yaml"
    parameters = checked(Parameters, read_mapping(path, "params.yaml"), "params.yaml")
    if parameters.profile not in names():
        raise ReproError(f"params.yaml: profile: {parameters.profile!r} is none of {', '.join(names())}")
    return parameters


def load_profile(name: str, root: Path) -> Profile:
    """A profile, fully checked; raises ReproError with one line that names file and field."""
    if name not in names():
        raise ReproError(f"unknown profile {name!r}: there are {', '.join(names())}")
    where = f"repro/profiles/{name}.yaml"
    content = reading.content(FOLDER, name, where)
    seeds = load_parameters(root).seeds
    profile = checked(Profile, content | {"name": name, "seeds": seeds.model_dump()}, where)
    _check_pieces(profile, where)
    return profile


def _check_pieces(profile: Profile, where: str) -> None:
    """Names exist, options are known, and every trigger fits the images."""
    _named("dataset", profile.data.name, f"{where}: data.name")
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
            f"{where}: data.limit: {profile.data.limit}, at least {least} are needed, 20 a class"
        )
    _check_engines(profile, where)
    for architecture in profile.architectures:
        for field, rates in (
            ("training", profile.training.learning_rate),
            ("retraining", profile.retraining.learning_rate),
        ):
            if architecture not in rates:
                raise ReproError(f"{where}: {field}.learning_rate: none for architecture {architecture!r}")
        _named("architecture", architecture, f"{where}: architectures")
    for name, settings in profile.triggers.items():
        field = f"{where}: triggers.{name}"
        _named("trigger", name, field)
        piece = plugins.load("trigger", name)
        _known(settings.options, piece.OPTIONS, field)
        try:
            piece.check(dataset.shape, **(piece.OPTIONS | settings.options))
        except ReproError as error:
            raise ReproError(f"{field}: {error}") from None
    for name, defence in profile.defences.items():
        _named("defence", name, f"{where}: defences")
        _known(defence.options, plugins.options("defence", name), f"{where}: defences.{name}")
        for architecture in profile.architectures:
            if architecture not in defence.weight:
                raise ReproError(f"{where}: defences.{name}.weight: none for architecture {architecture!r}")
    for name in profile.experiments:
        _named("experiment", name, f"{where}: experiments")
    for name in profile.leaves_out:
        _named("experiment", name, f"{where}: leaves_out")
        if name in profile.experiments:
            raise ReproError(f"{where}: leaves_out.{name}: experiments sizes it; one or the other")
    for name in plugins.names("experiment"):
        if name in profile.leaves_out:
            continue
        if name not in profile.experiments:
            raise ReproError(
                f"{where}: experiments.{name}: missing; a profile sizes every experiment, or says under "
                "leaves_out why it does not"
            )
        settings = profile.settings(name)
        named = getattr(settings, "architecture", None)
        if named is not None:
            _named("architecture", named, f"{where}: experiments.{name}.architecture")
            # An experiment without a rate of its own trains by the profile's recipe.
            if not hasattr(settings, "learning_rate") and named not in profile.training.learning_rate:
                raise ReproError(f"{where}: training.learning_rate: none for {named!r}, which {name} names")


def _check_engines(profile: Profile, where: str) -> None:
    """Architectures that options and published weights are asked for exist, and their engines know these."""
    for architecture, options in profile.training.options.items():
        _named("architecture", architecture, f"{where}: training.options")
        known = plugins.options("engine", engine_of(architecture))
        _known(options, known, f"{where}: training.{architecture}")
    for architecture, wanted in profile.pretrained.items():
        _named("architecture", architecture, f"{where}: pretrained")
        if wanted and engine_of(architecture) == "stacked":
            raise ReproError(f"{where}: pretrained.{architecture}: there are no published weights")


def _named(kind: str, name: str, field: str) -> None:
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
