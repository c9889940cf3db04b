"""Profiles: which data, models, grids and recipe a reproduction uses, one YAML file each, validated when read."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel

from repro import plugins
from repro.errors import ReproError
from repro.harness import reading
from repro.harness.checks import check_named, check_pieces
from repro.harness.runs import Backdoor, Data, Defence, Trigger, engine_of
from repro.harness.settings import (
    Alphas,
    Count,
    DataSettings,
    DefenceSettings,
    Fraction,
    Names,
    Parameters,
    Positive,
    Rates,
    RetrainingSettings,
    Seeds,
    Strict,
    TrainingSettings,
    TriggerSettings,
    Weights,
)
from repro.reading import checked, read_mapping
from repro.training.recipe import Recipe

if TYPE_CHECKING:
    from repro.data.datasets import Facts

__all__ = [
    "FOLDER",
    "OTHER_PAPER",
    "Alphas",
    "Count",
    "DataSettings",
    "DefenceSettings",
    "Fraction",
    "Names",
    "Parameters",
    "Positive",
    "Profile",
    "Rates",
    "RetrainingSettings",
    "Seeds",
    "Strict",
    "TrainingSettings",
    "TriggerSettings",
    "Weights",
    "files",
    "give",
    "load_parameters",
    "load_profile",
    "names",
]

M = TypeVar("M", bound=BaseModel)
V = TypeVar("V")

FOLDER = plugins.ROOT / "profiles"
OTHER_PAPER = "of a paper that this profile is not about"


class Profile(Strict):
    """One reproduction: what ``profiles/<name>.yaml`` says, with the seeds of ``params.yaml``.

    ``paper_dataset`` names the paper's dataset where the profile uses it, and the paper's models: only there published
    levels are judged. ``experiments`` has of each what differs from its defaults; one that is not named runs with
    these, unless it would train more than ``most_models`` models. An experiment has at most ``units`` units where the
    profile does not say how many. ``papers``: whose claims and experiments it is about; all papers' without it.
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
    units: Count = 60
    most_models: Count | None = None
    experiments: dict[str, dict[str, Any]] = {}
    leaves_out: dict[str, str] = {}
    papers: Names | None = None

    @property
    def left_out(self) -> dict[str, str]:
        """By experiment that the profile leaves out, of the papers that it is about, the reason."""
        return {name: reason for name, reason in self.leaves_out.items() if reason != OTHER_PAPER}

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
        """The training recipe: with early stopping, or for the fixed number of epochs."""
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
        """The profile's entry for a defence."""
        return self._named_section("defences", self.defences, name)

    def _named_section(self, field: str, section: dict[str, M], name: str) -> M:
        if name not in section:
            raise ReproError(f"profile {self.name}: {field}: no entry {name!r}, which an experiment names")
        return section[name]

    def settings(self, experiment: str) -> Any:
        """The profile's settings for an experiment, validated by its piece."""
        return self._once(
            f"settings {experiment}",
            lambda: self._settings(plugins.load("experiment", experiment).Settings, experiment),
        )

    def _settings(self, model: type[BaseModel], experiment: str) -> BaseModel:
        """What the profile says, over what it has for all experiments, over the experiment's own defaults."""
        defaults: dict[str, Any] = {
            name: field.get_default(call_default_factory=True)
            for name, field in model.model_fields.items()
            if not field.is_required()
        }
        shared = defaults.get("triggers", self.triggers)
        for_all = {
            "units": min(defaults.get("units", self.units), self.units),
            "architecture": self.architectures[0],
            "architectures": self.architectures,
            "trigger": next(iter(self.triggers), ""),
            "triggers": [trigger for trigger in self.triggers if trigger in shared],
            "regularisers": list(self.defences),
        }
        of_profile = {field: value for field, value in for_all.items() if field in model.model_fields}
        own = {
            field: reading.laid_over(defaults[field], value)
            if _takes_away(value) and field in defaults
            else value
            for field, value in self.experiments.get(experiment, {}).items()
        }
        return checked(model, of_profile | own, f"profile {self.name}: experiments.{experiment}")

    def _once(self, what: str, make: Callable[[], V]) -> V:
        """A value that is computed once and then reused; a changed copy of the profile computes its own."""
        if _made.get("of") is not self:
            _made.clear()
            _made["of"] = self
        if what not in _made:
            _made[what] = make()
        found: V = _made[what]
        return found


def _takes_away(value: Any) -> bool:
    """Whether a mapping changes another one: null takes a key away."""
    return isinstance(value, dict) and None in value.values()


_made: dict[str, Any] = {}
"""What `Profile._once` computed for the profile under "of"."""


@cache
def _facts(dataset: str, options: str) -> "Facts":
    from repro.data import describe

    return describe(dataset, json.loads(options))


def files() -> dict[str, Path]:
    """The file of every profile, by name: this package's, the project's, its papers', and those given by path."""
    return reading.files([FOLDER, *plugins.profile_folders()], _given)


def names() -> tuple[str, ...]:
    """All profiles, sorted."""
    return tuple(files())


_given: list[Path] = []
"""Files of profiles that `give` made known."""


def give(path: Path) -> str:
    """Make a file known as a profile, for this process; returns its name. ReproError if another has that name."""
    if not path.is_file():
        raise ReproError(f"--profile {path}: no such file")
    if path.suffix != ".yaml" or not path.stem.isidentifier():
        raise ReproError(f"--profile {path}: NAME.yaml is wanted, of letters, digits and underscores")
    if path not in _given:
        _given.append(path)
    try:
        files()
    except ReproError:
        _given.remove(path)
        raise
    return path.stem


def load_parameters(root: Path) -> Parameters:
    """``params.yaml`` of a project; raises ReproError naming file and field."""
    path = root / "params.yaml"
    parameters = checked(Parameters, read_mapping(path, "params.yaml"), "params.yaml")
    if parameters.profile not in names():
        raise ReproError(f"params.yaml: profile: {parameters.profile!r} is not one of {', '.join(names())}")
    return parameters


def load_profile(name: str, root: Path) -> Profile:
    """A profile, fully checked; raises ReproError with one line that names file and field."""
    known = files()
    if name not in known:
        raise ReproError(f"unknown profile {name!r}: there are {', '.join(known)}")
    where = reading.place(known[name], FOLDER)
    content = reading.content(known, name, FOLDER)
    seeds = load_parameters(root).seeds
    profile = checked(Profile, content | {"name": name, "seeds": seeds.model_dump()}, where)
    if profile.papers is not None:
        profile = _of_papers(profile, where)
    check_pieces(profile, where)
    return _with_unnamed(profile)


def _of_papers(profile: Profile, where: str) -> Profile:
    """The profile with the experiments of all other papers left out."""
    for paper in profile.papers or ():
        check_named("paper", paper, f"{where}: papers")
    others = {
        name: OTHER_PAPER
        for name in plugins.names("experiment")
        if plugins.load("experiment", name).EXPERIMENT.paper not in (profile.papers or ())
    }
    kept = {name: own for name, own in profile.experiments.items() if name not in others}
    return profile.model_copy(update={"experiments": kept, "leaves_out": profile.leaves_out | others})


def _with_unnamed(profile: Profile) -> Profile:
    """The profile with every experiment that it does not name, by its defaults, or left out for the models it takes."""
    unnamed = [
        name
        for name in plugins.names("experiment")
        if name not in profile.experiments and name not in profile.leaves_out
    ]
    experiments = profile.experiments | {name: {} for name in unnamed}
    if not unnamed or profile.most_models is None:
        return profile.model_copy(update={"experiments": experiments})
    left_out = dict(profile.leaves_out)
    for name in unnamed:
        phases = plugins.load("experiment", name).EXPERIMENT.phases
        models = sum(len(fleet.runs) for phase in phases for fleet in phase.fleets(profile))
        if models > profile.most_models:
            left_out[name] = f"it takes {models:,} models, more than this profile's {profile.most_models:,}"
            del experiments[name]
    return profile.model_copy(update={"experiments": experiments, "leaves_out": left_out})
