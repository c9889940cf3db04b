"""What each option of the engine ``network`` changes, against the same written out, and what it refuses."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_network import (
    CLASSES,
    CPU,
    IMAGES,
    POOL,
    RECIPE,
    RESNET,
    SEEDS,
    SHAPE,
    TRAINING,
    VALIDATION,
    alone,
    difference,
    fresh,
    samples,
    train,
)
from torch import Tensor

from repro import plugins
from repro.errors import ReproError
from repro.models._networks import Networks
from repro.seeds import stream
from repro.training.engines import network as engine
from repro.training.fleet import Regularisation
from repro.training.networks_recipe import triangle
from repro.training.recipe import Recipe


def with_options(**options: Any) -> Recipe:
    return replace(RECIPE, options=options)


def one(recipe: Recipe, defence: str = "none", *, double: bool = True) -> tuple[Networks, Networks, Tensor]:
    """The first seed's model before and after, and its losses."""
    models = fresh(SEEDS[:1], double=double)
    trained, _, recorder = train(models, recipe, defence, seeds=SEEDS[:1])
    return models, trained, torch.cat(recorder.losses)


def test_the_defaults_may_be_spelled_out() -> None:
    _, plain, _ = one(RECIPE)
    _, spelled, _ = one(with_options(**engine.OPTIONS))
    for name, tensor in plain.weights[0].items():
        assert torch.equal(tensor, spelled.weights[0][name])


def test_sgd_with_weight_decay_smoothed_labels_and_a_triangle_is_the_loop_with_them() -> None:
    recipe = with_options(optimiser="sgd", weight_decay=0.01, label_smoothing=0.2, schedule="triangle")
    models, trained, losses = one(recipe)
    model = alone(models, 0)
    images, labels = samples(TRAINING, 0)
    optimiser = torch.optim.SGD(
        model.parameters(), lr=1.0, momentum=0.9, nesterov=True, weight_decay=0.01, fused=False
    )
    order, per_epoch = stream(SEEDS[0], "training-order"), len(labels) // 16
    for epoch in range(2):
        permuted = torch.randperm(len(labels), generator=order)
        for step in range(per_epoch):
            batch = permuted[16 * step : 16 * step + 16]
            logits = model(images[batch])
            # The recorder sees the defence's loss, which is that of the true labels.
            assert F.cross_entropy(logits, labels[batch]).item() == pytest.approx(
                losses[epoch * per_epoch + step].item(), rel=1e-8
            )
            optimiser.param_groups[0]["lr"] = 0.003 * triangle((epoch * per_epoch + step) / (2 * per_epoch))
            optimiser.zero_grad()
            F.cross_entropy(logits, labels[batch], label_smoothing=0.2).backward()
            optimiser.step()
    assert difference(trained, 0, model) < 1e-7


def test_adams_weight_decay_is_pytorchs_and_spares_a_defences_own_parameter() -> None:
    models = fresh(SEEDS[:1])
    model = alone(models, 0)
    images, labels = samples(TRAINING, 0)
    recipe = replace(with_options(weight_decay=0.5), epochs=1, batch_size=len(labels))
    trained, _, _ = train(models, recipe, seeds=SEEDS[:1])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003, weight_decay=0.5)
    F.cross_entropy(model(images), labels).backward()
    optimiser.step()
    assert difference(trained, 0, model) < 1e-6
    _, _, with_decay = train(fresh(SEEDS[:1]), with_options(weight_decay=0.5), "margin", seeds=SEEDS[:1])
    assert with_decay.betas[1].item() == pytest.approx(1.2, abs=0.0031)


def test_the_triangle_peaks_at_a_fifth_and_ends_at_zero_over_the_recipes_own_length() -> None:
    rates = [triangle(step / 1000) for step in range(1000)]
    assert max(rates) == rates[200] == pytest.approx(1)
    assert rates[0] == pytest.approx(0.1)
    assert rates[:201] == sorted(rates[:201])
    assert rates[200:] == sorted(rates[200:], reverse=True)
    assert rates[600] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.01


@pytest.mark.parametrize("defence", ["none", "snnl"])
def test_memory_format_changes_nothing_but_rounding(defence: str) -> None:
    _, plain, losses = one(RECIPE, defence)
    _, last, other_losses = one(with_options(channels_last=True), defence)
    torch.testing.assert_close(other_losses, losses, rtol=1e-8, atol=0)
    for name, tensor in plain.weights[0].items():
        torch.testing.assert_close(last.weights[0][name], tensor, rtol=1e-5, atol=1e-7)


def test_channels_last_reaches_the_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []
    convolution = F.conv2d

    def watch(self: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if torch.is_grad_enabled() and x.shape[1] > 1:
            seen.append((x.is_contiguous(memory_format=torch.channels_last), x.is_contiguous()))
        return convolution(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    monkeypatch.setattr(torch.nn.Conv2d, "_conv_forward", watch)
    one(with_options(channels_last=True))
    assert seen
    assert all(last for last, _ in seen)
    seen.clear()
    one(RECIPE)
    assert seen
    assert all(first for _, first in seen)


def test_bfloat16_trains_the_body_in_it_and_gives_the_losses_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dtypes = set()
    added = RESNET._ResNetSmall.hidden

    def hidden(self: Any, images: Tensor) -> Tensor:
        result: Tensor = added(self, images)
        if torch.is_grad_enabled():
            dtypes.add(result.dtype)
        return result

    monkeypatch.setattr(RESNET._ResNetSmall, "hidden", hidden)
    _, _, losses = one(RECIPE, "contrastive", double=False)
    assert dtypes == {torch.float32}
    dtypes.clear()
    _, low, low_losses = one(with_options(precision="bfloat16"), "contrastive", double=False)
    assert dtypes == {torch.bfloat16}
    assert low_losses.dtype == low.weights[0]["head.weight"].dtype == torch.float32
    assert not torch.equal(low_losses, losses)
    torch.testing.assert_close(low_losses[:2], losses[:2], rtol=0.05, atol=0)


def test_size_resizes_what_is_trained_on_and_what_is_measured_and_stays_with_the_weights() -> None:
    models, trained, losses = one(with_options(size=12))
    images, labels = samples(TRAINING, 0)
    model = alone(models, 0)
    batch = torch.randperm(len(labels), generator=stream(SEEDS[0], "training-order"))[:16]
    resized = F.interpolate(images[batch], size=(12, 12), mode="bilinear", align_corners=False)
    assert losses[0].item() == pytest.approx(F.cross_entropy(model(resized), labels[batch]).item(), rel=1e-8)
    again = engine.restored(RESNET, SHAPE, CLASSES, engine.state(trained), CPU)
    after = alone(trained, 0).eval()
    validated = samples(VALIDATION, 0)[0]
    expected = after(F.interpolate(validated, size=(12, 12), mode="bilinear", align_corners=False))
    for measured in (trained, again):
        logits = engine.logits_of(measured, POOL, VALIDATION.indices[:1])[0]
        torch.testing.assert_close(logits, expected.detach(), rtol=1e-8, atol=1e-8)
    assert models.size == 0


def test_augmentation_is_drawn_from_the_seed_and_touches_training_alone() -> None:
    _, flipped, losses = one(with_options(augmentation="flip"))
    _, _, same = one(with_options(augmentation="flip"))
    _, _, plain = one(RECIPE)
    assert torch.equal(losses, same)
    assert not torch.allclose(losses, plain)
    logits = engine.logits_of(flipped, POOL, VALIDATION.indices[:1])[0]
    expected = alone(flipped, 0).eval()(samples(VALIDATION, 0)[0])
    torch.testing.assert_close(logits, expected.detach(), rtol=1e-8, atol=1e-8)


def test_only_the_option_compiles_and_measuring_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []
    training: list[bool] = []

    def compile_(function: Any, **how: Any) -> Any:
        compiled.append(function)
        assert how == {"dynamic": False}

        def call(network: Any, *rest: Any) -> Any:
            training.append(network.training)
            return function(network, *rest)

        return call

    monkeypatch.setattr(torch, "compile", compile_)
    _, plain, _ = one(RECIPE)
    assert not compiled
    _, other, _ = one(replace(with_options(compile=True), patience=2))
    assert len(compiled) == 1
    assert len(training) == 2 * (70 // 16)
    assert all(training)
    assert torch.equal(plain.weights[0]["head.weight"], other.weights[0]["head.weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"precison": "float32"},
            "training option 'precison': engine network has augmentation, channels_last",
        ),
        ({"precision": "float16"}, "precision is 'float16', not one of float32, bfloat16"),
        ({"augmentation": "cutout"}, "augmentation is 'cutout', not one of none, flip, flip"),
        ({"compile": 1}, "compile is 1, neither true nor false"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0, must be a number from 0 and below 1"),
        ({"label_smoothing": float("nan")}, "label_smoothing is nan, must be a number"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1, must be a number from 0"),
        ({"weight_decay": "much"}, "weight_decay is 'much', must be a number"),
        ({"size": 4}, "size is 4, neither null nor a whole number of at least 8 pixels"),
        ({"size": True}, "size is True, neither null"),
    ],
)
def test_an_option_out_of_its_range_is_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ReproError, match=message) as raised:
        one(with_options(**options))
    assert "\n" not in str(raised.value)


def test_smoothed_labels_are_refused_where_labels_are_mixed() -> None:
    mixup = Regularisation(plugins.load("defence", "manifold_mixup"), torch.ones(1), {})
    recipe = with_options(label_smoothing=0.1)
    with pytest.raises(ReproError, match="label_smoothing: not with manifold_mixup"):
        engine.train(fresh(SEEDS[:1]), POOL, TRAINING, None, recipe, SEEDS[:1], mixup)


def test_the_pool_has_the_levels_of_a_stored_image_channels_last() -> None:
    images = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    pool = engine.pool_of(images, CPU)
    assert pool.shape == (3, 4, 5, 2)
    assert pool.dtype == torch.uint8
    assert pool[1, 2, 3, 1].item() == round(255 * images[1, 1, 2, 3].item())
    stored = torch.arange(256).view(1, 1, 16, 16) / 255
    assert engine.pool_of(stored, CPU).flatten().tolist() == list(range(256))
    assert (POOL.permute(0, 3, 1, 2) / 255 - IMAGES).abs().max() <= 0.5 / 255 + 1e-6
