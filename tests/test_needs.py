"""What fleets need, computed beforehand, is what they turn out to have."""

from dataclasses import replace
from pathlib import Path

import pytest

from repro import plugins
from repro.data import load_dataset
from repro.data.partition import partition
from repro.harness import needs
from repro.harness.experiment import Phase
from repro.harness.needs import (
    epoch_images,
    images,
    memory_bytes,
    most_steps,
    parameters,
    trains,
    triggered,
    weight_bytes,
)
from repro.harness.profile import Profile
from repro.harness.runs import Backdoor, Data, Fleet, Run, Trigger
from repro.papers.backdoors.poisoning import Pool
from repro.papers.desanctis.experiments.targeted.runs import TargetedRun
from repro.papers.desanctis.victims.runs import Amplification, EncoderRun, ExposureRun
from repro.training.recipe import Recipe
from repro.training.stack import Stack

RECIPE = Recipe(0.01, 32, 4, 2)
TRIGGER = Trigger("square", 1.0, {"size": 3, "offset": 1, "value": 1.0})
FLOAT = 4


def run(rate: float | None, probes: int = 0, **others: object) -> Run:
    attack = Backdoor(3, TRIGGER, rate) if rate else None
    probed = tuple(Backdoor(c, TRIGGER, 0.1) for c in range(probes))
    plain = Run("u0", Data("digits"), 5, 5, "mlp", RECIPE, backdoor=attack, probes=probed)
    return replace(plain, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 15, 9)])
@pytest.mark.parametrize("architecture", ["mlp", "cnn", "cnn_bn"])
def test_parameters_are_those_of_a_real_model(architecture: str, shape: tuple[int, int, int]) -> None:
    blocks = plugins.load("architecture", architecture).blocks(shape, 7)
    stack = Stack.initialised(blocks, shape, 7, [0])
    assert parameters(architecture, shape, 7) == sum(tensor.numel() for tensor in stack.state().values())


@pytest.mark.parametrize("stated", [25_600_000, None])
def test_parameters_of_a_network_are_what_its_piece_states(
    monkeypatch: pytest.MonkeyPatch, stated: int | None
) -> None:
    monkeypatch.setattr(needs, "engine_of", lambda architecture: "network")
    monkeypatch.setattr(plugins, "literal", lambda kind, name, constant, default: stated)
    assert parameters.__wrapped__("any", (3, 32, 32), 10) == stated


@pytest.mark.parametrize("attacked", [run(None), run(0.1), run(0.4), run(0.1, 2), run(None, 3)])
def test_triggered_images_are_about_those_of_a_real_pool(attacked: Run) -> None:
    dataset = load_dataset("digits", Path())
    pool = Pool(dataset)
    pool.view(attacked)
    added = pool.size - len(dataset)
    # Images of the poison class are not tested, and classes are not quite equal in number.
    assert 0.97 * added <= triggered(attacked, len(dataset), 10) <= 1.2 * added
    assert added or not triggered(attacked, len(dataset), 10)


@pytest.mark.parametrize("count", [600, 1797])
def test_images_of_an_epoch_are_those_of_the_partition(count: int) -> None:
    parts = partition(count, 0)
    assert epoch_images(run(0.1), count) == len(parts.poison_train)
    assert epoch_images(run(0.1, retraining=Recipe(0.01, 32, 2)), count) == len(parts.clean_train)


def test_images_of_an_epoch_of_exposure() -> None:
    about = ("u0", Data("digits"), 5)
    victim = ExposureRun(*about, 3, "mlp", RECIPE, 60, 120, "scratch", (4,), Amplification("dirty_label", 7))
    assert epoch_images(victim, 600) == 67
    assert epoch_images(replace(victim, attack=None), 600) == 60
    assert epoch_images(EncoderRun(*about, "mlp", RECIPE, 60, 120), 600) == 420


def test_a_targeted_attack_trains_three_victims() -> None:
    about = ("u0", Data("digits"), 5, 3, "mlp", RECIPE, RECIPE, 60, 120)
    assert epoch_images(TargetedRun(*about, False, 7, 0.0, {}), 600) == 60 + 67 + 67


def test_steps_are_bounded_by_the_recipes_epochs() -> None:
    assert most_steps(run(0.1), 600) == 4 * (365 // 32)
    assert most_steps(run(0.1, retraining=Recipe(0.01, 32, 2)), 600) == 2 * (91 // 32)
    assert most_steps(run(0.1, recipe=Recipe(0.01, 500, 4, 2)), 600) == 4


def test_memory_grows_with_images_triggers_and_models(profile: Profile) -> None:
    train = Phase("train", "", lambda profile: [])
    one, two, clean = Fleet((run(0.1),)), Fleet((run(0.1), run(0.1))), Fleet((run(None),))
    image, model = FLOAT * 64, FLOAT * (parameters("mlp", (1, 8, 8), 10) or 0)
    more = memory_bytes(profile, train, two) - memory_bytes(profile, train, one)
    assert images(profile) == 600
    assert more == 4 * image * triggered(run(0.1), 600, 10) + 4 * model
    bare = memory_bytes(profile, Phase("measure", "", lambda profile: []), one)
    assert memory_bytes(profile, train, clean) - bare == 4 * 600 * image + 4 * model
    assert weight_bytes(profile, two) == (2 * model, set())


def test_a_network_is_in_training_alone(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "engine_of", lambda architecture: "network")
    monkeypatch.setattr(needs, "parameters", lambda *_: 1000)
    train = Phase("train", "", lambda profile: [])
    one, two = (memory_bytes(profile, train, Fleet((run(None),) * k)) for k in (1, 2))
    assert two - one == 2 * 1000 * FLOAT


def test_unknown_sizes_are_named(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "parameters", lambda *_: None)
    assert weight_bytes(profile, Fleet((run(0.1),))) == (0, {"mlp"})


def test_only_measuring_trains_nothing() -> None:
    for name in plugins.names("experiment"):
        for phase in plugins.load("experiment", name).EXPERIMENT.phases:
            function = phase.work.partition(":")[2]
            assert trains(phase) == function.startswith(("train_", "retrain_")), phase.work
