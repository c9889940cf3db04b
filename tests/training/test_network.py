"""A model of the engine ``network`` is the same module trained alone, by a plain PyTorch loop.

In double precision, on a small ResNet and 8x8 images, over defences, early stopping and retraining.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from plain_defences import BOUNDED, DEFENCES, DRAWS, OPTIONS, START_OF_BETA, slow_loss
from plain_loop import Samples, Trained, logits_alone, train_alone
from safetensors.torch import load, save
from side_by_side import Recorder
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from repro import plugins
from repro.data import load_dataset
from repro.errors import ReproError
from repro.models._networks import Network, Networks, weights_of
from repro.training.engines import network as engine
from repro.training.fleet import Regularisation, Split
from repro.training.recipe import Recipe

CPU = torch.device("cpu")
RESNET = plugins.load("architecture", "resnet_small")
SHAPE, CLASSES = (1, 8, 8), 10
SEEDS = [11, 12]
WEIGHTS = [0.3, 0.6]
RECIPE = Recipe(0.003, 16, epochs=2)
SIZE = 70


class Alone(nn.Module):
    """A network as the plain loop wants its models: a body and a head."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.body, self.head = _Hidden(network), network.head

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images))
        return logits


class _Hidden(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.hidden(images)


def digits(size: int = SIZE, members: int = 2) -> tuple[Tensor, Split, Split]:
    """All images; what each model trains on, a tenth of it labelled wrong in its own way; what it is validated on."""
    data = load_dataset("digits", Path())
    generator = torch.Generator().manual_seed(0)
    labels = torch.from_numpy(data.labels)
    indices = torch.stack([torch.randperm(len(labels), generator=generator) for _ in range(members)])
    own = labels[indices]
    wrong = torch.rand(own.shape, generator=generator) < 0.1
    own = torch.where(wrong, torch.randint(0, 10, own.shape, generator=generator), own)
    validated = slice(size, size + 40)
    images = torch.from_numpy(data.images)
    return (
        images,
        Split(indices[:, :size], own[:, :size]),
        Split(indices[:, validated], own[:, validated]),
    )


IMAGES, TRAINING, VALIDATION = digits()
POOL = engine.pool_of(IMAGES, CPU)


def fresh(seeds: Sequence[int] = SEEDS, piece: ModuleType = RESNET, *, double: bool = True) -> Networks:
    models = engine.fresh(piece, SHAPE, CLASSES, seeds, False, CPU)
    return in_double(models) if double else models


def in_double(models: Networks) -> Networks:
    weights = [{n: t.double() if t.is_floating_point() else t for n, t in w.items()} for w in models.weights]
    return Networks(models.network.double(), weights, models.size)


def alone(models: Networks, member: int) -> Alone:
    """A copy of one model, in a module of its own."""
    network = RESNET.network(SHAPE, CLASSES, False).to(models.weights[0]["head.weight"].dtype)
    network.load_state_dict(models.weights[member])
    return Alone(network)


def samples(split: Split, member: int) -> Samples:
    """What the plain loop is given: the images at 256 levels, centred."""
    images = (IMAGES[split.indices[member]] * 255).round().double() / 255 - 0.5
    return images, split.labels[member]


def train(
    models: Networks,
    recipe: Recipe = RECIPE,
    defence: str = "none",
    *,
    seeds: Sequence[int] = SEEDS,
    purpose: str = "training",
) -> tuple[Networks, list[int], Recorder]:
    recorder = Recorder(plugins.load("defence", defence), models.weights[0]["head.weight"].dtype)
    weights = torch.tensor(WEIGHTS[: len(seeds)], dtype=recorder.dtype)
    regularisation = Regularisation(recorder.as_piece(), weights, OPTIONS.get(defence, {}))
    validation = VALIDATION if recipe.patience is not None else None
    trained, epochs = engine.train(models, POOL, TRAINING, validation, recipe, seeds, regularisation, purpose)
    return trained, epochs, recorder


def in_the_loop(
    model: Alone, member: int, recipe: Recipe = RECIPE, defence: str = "none", purpose: str = "training"
) -> tuple[Trained, nn.Parameter]:
    beta = nn.Parameter(torch.tensor(START_OF_BETA).double())
    trained = train_alone(
        model,
        samples(TRAINING, member),
        recipe,
        SEEDS[member],
        slow_loss(defence, WEIGHTS[member], beta),
        draws=DRAWS.get(defence, 0),
        own=[beta] if defence in BOUNDED else [],
        validation=samples(VALIDATION, member),
        purpose=purpose,
    )
    return trained, beta


def difference(models: Networks, member: int, model: Alone) -> float:
    """The largest over all parameters and running statistics, relative to the largest of each tensor."""
    expected = model.body.network.state_dict()
    return max(
        ((tensor - expected[name]).abs().max() / expected[name].abs().max().clamp_min(1e-3)).item()
        for name, tensor in models.weights[member].items()
    )


@pytest.mark.parametrize("defence", [d for d in DEFENCES if d != "weight_decay"])  # its engine has an option
def test_a_model_equals_the_same_module_trained_alone(defence: str) -> None:
    models = fresh()
    trained, epochs, recorder = train(models, defence=defence)
    expected = [alone(models, k) for k in range(2)]
    loops = [in_the_loop(model, k, defence=defence) for k, model in enumerate(expected)]
    assert epochs == [2, 2]
    losses = torch.cat(recorder.losses)
    assert losses.shape == (2 * 2 * (SIZE // 16),)
    expected_losses = torch.tensor([x for t, _ in loops for x in t.losses], dtype=torch.float64)
    torch.testing.assert_close(losses, expected_losses, rtol=1e-8, atol=0)
    assert max(difference(trained, k, model) for k, model in enumerate(expected)) < 1e-6
    if defence == "margin":
        assert loops[0][1].item() != pytest.approx(START_OF_BETA, abs=1e-4)


def test_models_that_stop_early_stop_with_the_loop_and_keep_their_last_epoch() -> None:
    recipe = Recipe(0.01, 16, epochs=12, patience=1)
    models = fresh()
    trained, epochs, _ = train(models, recipe)
    expected = [alone(models, k) for k in range(2)]
    assert epochs == [in_the_loop(model, k, recipe)[0].epochs for k, model in enumerate(expected)]
    assert epochs[0] != epochs[1]
    assert min(epochs) < 12
    assert max(difference(trained, k, model) for k, model in enumerate(expected)) < 1e-5


def test_retraining_goes_on_from_stored_weights_and_draws_anew() -> None:
    trained, _, _ = train(fresh())
    again = engine.restored(RESNET, SHAPE, CLASSES, load(save(engine.state(trained))), CPU)
    retrained, _, _ = train(again, purpose="retraining")
    for k in range(2):
        model = alone(trained, k)
        in_the_loop(model, k, purpose="retraining")
        assert difference(retrained, k, model) < 1e-6
    same_order, _, _ = train(trained)
    assert not torch.allclose(engine.state(same_order)["head.weight"], engine.state(retrained)["head.weight"])


def test_stored_weights_give_the_very_same_logits() -> None:
    options = {"channels_last": True, "size": 12}
    trained, _, _ = train(fresh(double=False), replace(RECIPE, options=options))
    stored = engine.state(trained)
    assert {"mean", "std", "head.weight", "stem_norm.num_batches_tracked"} <= stored.keys()
    assert all(t.shape[0] == 2 and t.is_contiguous() and t.device == CPU for t in stored.values())
    assert stored["stem_norm.num_batches_tracked"].tolist() == [8, 8]
    again = engine.restored(RESNET, SHAPE, CLASSES, load(save(stored)), CPU)
    logits = engine.logits_of(trained, POOL, VALIDATION.indices)
    assert logits.shape == (2, 40, CLASSES)
    assert torch.equal(engine.logits_of(again, POOL, VALIDATION.indices), logits)
    assert not torch.equal(logits[0], logits[1])


def test_logits_are_the_modules_in_evaluation_on_each_models_own_images() -> None:
    trained, _, _ = train(fresh())
    logits = engine.logits_of(trained, POOL, VALIDATION.indices)
    for k in range(2):
        expected = logits_alone(alone(trained, k), samples(VALIDATION, k)[0])
        torch.testing.assert_close(logits[k], expected, rtol=1e-9, atol=1e-9)
    batched = engine.logits_of(trained, POOL, VALIDATION.indices, batch=7)
    torch.testing.assert_close(batched, logits, rtol=1e-9, atol=1e-9)


def test_equal_seeds_give_equal_runs_whoever_else_is_in_the_fleet() -> None:
    together, _, _ = train(fresh(double=False))
    again, _, _ = train(fresh(double=False))
    single, _, _ = train(fresh(SEEDS[:1], double=False), seeds=SEEDS[:1])
    for name, tensor in engine.state(together).items():
        assert torch.equal(tensor, engine.state(again)[name])
        assert torch.equal(tensor[:1], engine.state(single)[name])
    weight = engine.state(together)["head.weight"]
    assert not torch.equal(weight[0], weight[1])


def test_training_disturbs_neither_the_given_models_nor_pytorchs_generator() -> None:
    before = torch.get_rng_state()
    models = fresh(double=False)
    weights = [{name: tensor.clone() for name, tensor in w.items()} for w in models.weights]
    first, _, _ = train(models)
    second, _, _ = train(models)
    assert torch.equal(torch.get_rng_state(), before)
    for given, kept in zip(models.weights, weights, strict=True):
        assert all(torch.equal(tensor, kept[name]) for name, tensor in given.items())
    assert torch.equal(engine.state(first)["head.weight"], engine.state(second)["head.weight"])


class _Waits(TorchDispatchMode):
    """Counts the operations for whose outcome the host has to wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), named: dict[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        self.count += name in {"_local_scalar_dense", "nonzero", "masked_select", "equal"}
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize("defence", ["none", "margin", "snnl", "manifold_mixup"])
def test_the_host_waits_for_the_device_once_an_epoch(defence: str) -> None:
    options = {"augmentation": "flip+translate", "schedule": "triangle"}
    options |= {} if defence == "manifold_mixup" else {"label_smoothing": 0.1}
    piece = plugins.load("defence", defence)
    regularisation = Regularisation(piece, torch.tensor([0.3]), piece.OPTIONS)
    models = fresh(SEEDS[:1], double=False)
    with _Waits() as waits:
        recipe = Recipe(0.003, 8, 3, patience=3, options=options)
        engine.train(models, POOL, TRAINING, VALIDATION, recipe, SEEDS[:1], regularisation)
    assert waits.count == 3


@pytest.mark.parametrize("defence", ["contrastive", "snnl", "margin"])
def test_a_defences_constants_are_on_the_device_before_the_first_step(
    defence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    as_tensor = torch.as_tensor

    def recorded(value: Any, **how: Any) -> Tensor:
        given.append(value)
        return as_tensor(value, **how)

    monkeypatch.setattr(torch, "as_tensor", recorded)
    train(fresh(), RECIPE, defence)
    assert given
    assert all(isinstance(value, Tensor) for value in given)


def test_fewer_samples_than_a_batch_make_one_batch_of_all() -> None:
    models = fresh()
    _, _, recorder = train(models, replace(RECIPE, batch_size=500))
    assert len(recorder.losses) == 2 * 2


def test_early_stopping_without_validation_is_an_error() -> None:
    undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(2), {})
    with pytest.raises(ValueError, match="early stopping needs a validation split"):
        engine.train(fresh(), POOL, TRAINING, None, Recipe(0.01, 16, 3, 2), SEEDS, undefended)


def test_weights_of_another_architecture_are_refused() -> None:
    stored = engine.state(fresh())
    with pytest.raises(ReproError, match=r"^fast_cnn: the stored weights are not of this architecture$"):
        engine.restored(plugins.load("architecture", "fast_cnn"), SHAPE, CLASSES, stored, CPU)
    with pytest.raises(ReproError, match="not of this architecture"):
        engine.restored(RESNET, (3, 8, 8), CLASSES, stored, CPU)


def test_random_numbers_of_a_layer_come_from_the_models_own_seed() -> None:
    def network(shape: tuple[int, int, int], classes: int, pretrained: bool) -> Network:
        made = Network(shape[0], 4, classes)
        made.register_buffer("drawn", torch.rand(3))
        return made

    piece: Any = SimpleNamespace(network=network, __name__="drawing")
    models = engine.fresh(piece, SHAPE, CLASSES, [1, 2, 1], False, CPU)
    first, second, third = (weights["drawn"] for weights in models.weights)
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
    assert weights_of(models.network).keys() == models.weights[0].keys()
