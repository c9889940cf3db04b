"""What a profile's sections, and the settings of experiments, consist of: values within bounds, known keys only."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

V = TypeVar("V")

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
    """Adam's rate per architecture, when to stop (truong2020 3: patience 5), and options of the engine."""

    learning_rate: dict[str, Positive]
    batch_size: Count
    epochs: Count
    patience: Count
    options: dict[str, dict[str, Any]] = {}


class RetrainingSettings(Strict):
    """Adam's rate per architecture, and the fixed number of clean epochs."""

    learning_rate: dict[str, Positive]
    batch_size: Count
    epochs: Count


class TriggerSettings(Strict):
    """A trigger's transparency and the options of its piece."""

    alpha: Annotated[float, Field(ge=0, le=1)]
    options: dict[str, Any] = {}


class DefenceSettings(Strict):
    """A defence's tuned weight per architecture, and the options of its piece."""

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
