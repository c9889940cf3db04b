"""A member of a fleet is the same model trained alone: against a plain PyTorch loop, over architectures and defences.

In double precision the two agree for as long as anyone trains. In single precision they agree for the first steps, and
then a few members part ways at ties of the rectifier, as PyTorch does against itself in another memory format.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from plain_loop import (
    Loss,
    PlainModel,
    Samples,
    Trained,
    alone,
    cross_entropy,
    largest_difference,
    logits_alone,
    train_alone,
)
from torch import Tensor, nn

from repro import plugins
from repro.data import load_dataset
from repro.defences import Batch
from repro.training.fleet import Regularisation, Split, logits_of, pool_of, predict, train
from repro.training.recipe import Recipe
from repro.training.stack import Stack

ARCHITECTURES = plugins.names("architecture")
RECIPE = Recipe(learning_rate=0.01, batch_size=32, epochs=3)
SEEDS = [11, 12, 13, 14]
WEIGHTS = [0.05, 0.3, 1.0, 0.6]
OPTIONS: dict[str, dict[str, Any]] = {
    "contrastive": {"margin": 3.0},
    "snnl": {"temperature": 5.0},
    "snnl_printed": {"temperature": 5.0},
    "margin": {"alpha": 0.2},
}
START_OF_BETA = 1.2


def pairwise(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (pairs,) of all i < j, and whether the two share a label."""
    i, j = torch.triu_indices(len(hidden), len(hidden), 1)
    return (hidden[i] - hidden[j]).norm(dim=1), labels[i] == labels[j]


def slow_squeezing(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    return model.head(hidden).norm(dim=1).mean()


def slow_contrastive(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    distances, alike = pairwise(hidden, labels)
    n, c = model.head.out_features, OPTIONS["contrastive"]["margin"]
    return torch.where(alike, distances / n, (n - 1) / n * (c - distances).clamp_min(0)).mean()


def slow_neighbour(hidden: Tensor, labels: Tensor, same: bool) -> Tensor:
    terms = []
    for i in range(len(hidden)):
        others = [j for j in range(len(hidden)) if j != i]
        nearness = torch.exp(-(hidden[others] - hidden[i]).square().sum(1) / OPTIONS["snnl"]["temperature"])
        chosen = (labels[others] == labels[i]) == same
        if chosen.any():
            terms.append(-torch.log(nearness[chosen].sum() / nearness.sum()))
    return torch.stack(terms).mean()


def slow_snnl(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    return slow_neighbour(hidden, labels, same=True)


def slow_snnl_printed(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    return slow_neighbour(hidden, labels, same=False)


def slow_mixup(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
    gamma, partner = draws[:, :1], draws[:, 1].argsort()
    targets = F.one_hot(labels, model.head.out_features).to(hidden.dtype)
    mixed = (1 - gamma) * hidden[partner] + gamma * hidden
    return F.cross_entropy(model.head(mixed), (1 - gamma) * targets[partner] + gamma * targets)


def slow_margin(beta: nn.Parameter) -> Loss:
    def loss(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        distances, alike = pairwise(F.normalize(hidden, dim=1), labels)
        alpha = OPTIONS["margin"]["alpha"]
        positive = (alpha + distances - beta).clamp_min(0)[alike]
        negative = (alpha - distances + beta).clamp_min(0)[~alike]
        return (positive.mean() + negative.mean()) / 2

    return loss


TERMS: dict[str, Loss] = {
    "logit_squeezing": slow_squeezing,
    "manifold_mixup": slow_mixup,
    "contrastive": slow_contrastive,
    "snnl": slow_snnl,
    "snnl_printed": slow_snnl_printed,
}
DEFENCES = ["none", *TERMS, "margin"]


def slow_loss(defence: str, weight: float, beta: nn.Parameter) -> Loss:
    """A defence's whole training loss, written out for one model."""
    if defence == "none":
        return cross_entropy
    term = slow_margin(beta) if defence == "margin" else TERMS[defence]
    plain = 1 - weight if defence == "manifold_mixup" else 1.0

    def loss(model: PlainModel, hidden: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        own = cross_entropy(model, hidden, labels, draws)
        return plain * own + weight * term(model, hidden, labels, draws)

    return loss


@dataclass
class Setting:
    """A fleet to be: its pool, its members' own samples, and the numbers it computes in."""

    images: Tensor
    training: Split
    validation: Split
    dtype: torch.dtype

    @property
    def pool(self) -> Tensor:
        return pool_of(self.images).to(self.dtype)

    def alone(self, split: Split, member: int) -> Samples:
        images = (self.images[split.indices[member]] - 0.5).to(self.dtype)
        return images, split.labels[member]

    def stack(self, architecture: str, seeds: Sequence[int] = SEEDS) -> Stack:
        blocks = plugins.load("architecture", architecture).blocks((1, 8, 8), 10)
        drawn = Stack.initialised(blocks, (1, 8, 8), 10, seeds)
        return Stack(blocks, (1, 8, 8), 10, {n: t.to(self.dtype) for n, t in drawn.state().items()})


def setting(members: int = 4, size: int = 140, dtype: torch.dtype = torch.float64) -> Setting:
    """Digits; every member has samples of its own, and a tenth of its labels wrong in its own way."""
    data = load_dataset("digits", Path())
    generator = torch.Generator().manual_seed(0)
    labels = torch.from_numpy(data.labels)
    indices = torch.stack([torch.randperm(len(labels), generator=generator) for _ in range(members)])
    indices = indices[:, : size + 50]
    own = labels[indices]
    wrong = torch.rand(own.shape, generator=generator) < 0.1
    own = torch.where(wrong, torch.randint(0, 10, own.shape, generator=generator), own)
    return Setting(
        torch.from_numpy(data.images),
        Split(indices[:, :size], own[:, :size]),
        Split(indices[:, size:], own[:, size:]),
        dtype,
    )


@dataclass
class Recorder:
    """A defence's piece that looks on: the loss (K',) of every step, and the margin loss's boundary."""

    piece: ModuleType
    dtype: torch.dtype
    losses: list[Tensor] = field(default_factory=list)
    betas: list[Tensor] = field(default_factory=list)

    def as_piece(self) -> ModuleType:
        def loss(batch: Batch, weight: Tensor, **options: Any) -> Tensor:
            value = self.piece.loss(replace(batch, draws=batch.draws.to(self.dtype)), weight, **options)
            self.losses.append(value.detach())
            if "defence.beta" in batch.parameters:
                self.betas.append(batch.parameters["defence.beta"].detach().clone())
            return cast(Tensor, value)

        own = {name: getattr(self.piece, name) for name in ("DRAWS",) if hasattr(self.piece, name)}
        if hasattr(self.piece, "learned"):
            own["learned"] = lambda k: {n: t.to(self.dtype) for n, t in self.piece.learned(k).items()}
        return cast(ModuleType, SimpleNamespace(loss=loss, **own))


@dataclass
class Both:
    """The same training twice: as a fleet, and member by member."""

    stack: Stack
    epochs: list[int]
    recorder: Recorder
    models: list[PlainModel]
    trained: list[Trained]
    betas: list[float]

    def differences(self) -> list[float]:
        return [largest_difference(alone(self.stack, k), model) for k, model in enumerate(self.models)]


def in_fleet(
    s: Setting,
    stack: Stack,
    recipe: Recipe = RECIPE,
    defence: str = "none",
    *,
    seeds: Sequence[int] = SEEDS,
    weights: Sequence[float] = WEIGHTS,
    purpose: str = "training",
    observe: Callable[[int, Tensor, Stack], None] | None = None,
) -> tuple[Stack, list[int], Recorder]:
    recorder = Recorder(plugins.load("defence", defence), s.dtype)
    regularisation = Regularisation(
        recorder.as_piece(), torch.tensor(weights, dtype=s.dtype), OPTIONS.get(defence, {})
    )
    validation = s.validation if recipe.patience is not None else None
    trained, epochs = train(
        stack, s.pool, s.training, validation, recipe, seeds, regularisation, purpose, observe
    )
    return trained, epochs, recorder


def both(
    s: Setting,
    architecture: str,
    recipe: Recipe = RECIPE,
    defence: str = "none",
    *,
    purpose: str = "training",
    seeds: Sequence[int] = SEEDS,
    weights: Sequence[float] = WEIGHTS,
) -> Both:
    stack = s.stack(architecture, seeds)
    result, epochs, recorder = in_fleet(
        s, stack, recipe, defence, seeds=seeds, weights=weights, purpose=purpose
    )
    models = [alone(stack, k) for k in range(len(seeds))]
    betas = [nn.Parameter(torch.tensor(START_OF_BETA).to(s.dtype)) for _ in seeds]
    trained = [
        train_alone(
            model,
            s.alone(s.training, k),
            recipe,
            seeds[k],
            slow_loss(defence, weights[k], betas[k]),
            draws=2 if defence == "manifold_mixup" else 0,
            own=[betas[k]] if defence == "margin" else [],
            validation=s.alone(s.validation, k),
            purpose=purpose,
        )
        for k, model in enumerate(models)
    ]
    return Both(result, epochs, recorder, models, trained, [beta.item() for beta in betas])


def test_every_defence_has_its_oracle_here() -> None:
    assert sorted(DEFENCES) == list(plugins.names("defence"))


@pytest.mark.parametrize("defence", DEFENCES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_member_equals_the_same_model_trained_alone(architecture: str, defence: str) -> None:
    result = both(setting(), architecture, defence=defence)
    losses = torch.stack(result.recorder.losses, 1)
    expected = torch.tensor([t.losses for t in result.trained], dtype=torch.float64)
    assert losses.shape == expected.shape == (4, 3 * (140 // 32))
    torch.testing.assert_close(losses, expected, rtol=1e-8, atol=0)
    assert max(result.differences()) < 1e-7
    assert result.epochs == [3] * 4


@pytest.mark.parametrize("defence", ["none", "snnl"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_in_single_precision_early_losses_agree_and_few_members_part_ways(
    architecture: str, defence: str
) -> None:
    members = 12
    seeds = list(range(members))
    s = setting(members, dtype=torch.float32)
    result = both(s, architecture, defence=defence, seeds=seeds, weights=[0.3] * members)
    losses = torch.stack(result.recorder.losses, 1)
    expected = torch.tensor([t.losses for t in result.trained])
    early = ((losses - expected).abs() / expected)[:, :4]
    assert early.max().item() < 1e-5
    differences = sorted(result.differences())
    assert differences[members // 2] < 1e-3
    assert sum(d > 1e-2 for d in differences) <= 3
    predicted = predict(result.stack, s.pool, s.validation.indices)
    agreement = [
        (predicted[k] == logits_alone(model, s.alone(s.validation, k)[0]).argmax(1)).float().mean().item()
        for k, model in enumerate(result.models)
    ]
    assert sorted(agreement)[members // 2] == 1
    assert min(agreement) > 0.9


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_members_that_stop_at_different_epochs_each_equal_the_loop(architecture: str) -> None:
    """Patience 2; what is kept is the epoch it stopped in, not the best one."""
    seeds = list(range(6))
    recipe = Recipe(0.01, 32, epochs=14, patience=2)
    result = both(setting(6), architecture, recipe, seeds=seeds, weights=[0.0] * 6)
    assert result.epochs == [t.epochs for t in result.trained]
    assert len(set(result.epochs)) > 1
    assert min(result.epochs) < 14
    assert max(result.differences()) < 1e-7


def test_defended_members_that_stop_early_keep_their_own_weights_draws_and_boundaries() -> None:
    seeds = list(range(6))
    weights = [0.9, 0.1, 0.5, 0.2, 1.0, 0.7]
    recipe = Recipe(0.01, 32, epochs=10, patience=1)
    for defence in ("manifold_mixup", "margin"):
        result = both(setting(6), "mlp", recipe, defence, seeds=seeds, weights=weights)
        assert result.epochs == [t.epochs for t in result.trained]
        assert len(set(result.epochs)) > 1
        assert max(result.differences()) < 1e-7


def test_the_margin_losss_boundary_is_trained_and_each_members_own() -> None:
    s = setting()
    boundaries: list[Tensor] = []

    def observe(epoch: int, members: Tensor, stack: Stack) -> None:
        boundaries.append(stack.parameters["defence.beta"].detach().clone())

    trained, _, recorder = in_fleet(s, s.stack("mlp"), defence="margin", observe=observe)
    torch.testing.assert_close(recorder.betas[0], torch.full((4,), START_OF_BETA).double())
    expected = torch.tensor(both(s, "mlp", defence="margin").betas, dtype=torch.float64)
    torch.testing.assert_close(boundaries[-1], expected, rtol=0, atol=1e-8)
    assert ((expected - START_OF_BETA).abs() > 1e-3).all()
    assert expected.unique().numel() == 4
    assert not [name for name in trained.state() if name.startswith("defence")]


def test_a_fleet_of_k_equals_k_fleets_of_one() -> None:
    s = setting()
    recipe = Recipe(0.01, 32, epochs=8, patience=2)
    for architecture, defence in (("cnn_bn", "manifold_mixup"), ("mlp", "margin")):
        together, epochs, _ = in_fleet(s, s.stack(architecture), recipe, defence)
        for k in range(4):
            only = replace(
                s, training=s.training.of(torch.tensor([k])), validation=s.validation.of(torch.tensor([k]))
            )
            single, its_epochs, _ = in_fleet(
                only,
                only.stack(architecture, SEEDS[k : k + 1]),
                recipe,
                defence,
                seeds=SEEDS[k : k + 1],
                weights=WEIGHTS[k : k + 1],
            )
            assert its_epochs == [epochs[k]]
            for name, tensor in single.state().items():
                torch.testing.assert_close(tensor[0], together.state()[name][k], rtol=1e-7, atol=1e-9)


def test_permuting_the_members_permutes_the_results() -> None:
    s = setting()
    recipe = Recipe(0.01, 32, epochs=8, patience=1)
    there = [2, 0, 3, 1]
    order = torch.tensor(there)
    straight, epochs, _ = in_fleet(s, s.stack("cnn"), recipe, "manifold_mixup")
    moved = replace(s, training=s.training.of(order), validation=s.validation.of(order))
    seeds, weights = [SEEDS[k] for k in there], [WEIGHTS[k] for k in there]
    permuted, their_epochs, _ = in_fleet(
        moved, moved.stack("cnn", seeds), recipe, "manifold_mixup", seeds=seeds, weights=weights
    )
    assert their_epochs == [epochs[k] for k in there]
    for name, tensor in permuted.state().items():
        torch.testing.assert_close(tensor, straight.state()[name][order], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("defence", DEFENCES)
def test_a_neighbour_that_diverges_harms_nobody(defence: str) -> None:
    s = setting()
    healthy, _, _ = in_fleet(s, s.stack("cnn_bn"), defence=defence)
    broken = s.stack("cnn_bn")
    with torch.no_grad():
        broken.parameters["0.weight"][1] = torch.nan
    beside, _, _ = in_fleet(s, broken, defence=defence)
    others = torch.tensor([0, 2, 3])
    assert beside.state()["head.weight"][1].isnan().all()
    for name, tensor in beside.state().items():
        assert torch.equal(tensor[others], healthy.state()[name][others])


def test_retraining_draws_anew() -> None:
    s = setting()
    again = both(s, "mlp", purpose="retraining")
    assert max(again.differences()) < 1e-7
    training, _, _ = in_fleet(s, s.stack("mlp"))
    assert not torch.allclose(training.state()["head.weight"], again.stack.state()["head.weight"])


def test_without_patience_everyone_trains_for_the_stated_epochs() -> None:
    s = setting()
    _, epochs, recorder = in_fleet(s, s.stack("mlp"), Recipe(0.01, 32, epochs=7))
    assert epochs == [7] * 4
    assert len(recorder.losses) == 7 * 4
    assert all(loss.shape == (4,) for loss in recorder.losses)


def test_fewer_samples_than_a_batch_make_one_batch_of_all() -> None:
    s = setting(size=20)
    result = both(s, "mlp")
    assert len(result.recorder.losses) == 3
    assert max(result.differences()) < 1e-8


def test_the_observer_sees_after_each_epoch_who_is_still_in_training() -> None:
    s = setting(6)
    seen: dict[int, list[int]] = {}
    kept: dict[int, Tensor] = {}

    def observe(epoch: int, members: Tensor, stack: Stack) -> None:
        assert stack.members == len(members)
        seen[epoch] = members.tolist()
        for position, member in enumerate(members.tolist()):
            kept[member] = stack.state()["head.weight"][position].clone()

    recipe = Recipe(0.01, 32, epochs=10, patience=1)
    seeds = list(range(6))
    trained, epochs, _ = in_fleet(
        s, s.stack("mlp", seeds), recipe, seeds=seeds, weights=[0.0] * 6, observe=observe
    )
    assert len(set(epochs)) > 1
    assert seen == {e: [k for k in range(6) if epochs[k] >= e] for e in range(1, max(epochs) + 1)}
    for member, weight in kept.items():
        assert torch.equal(weight, trained.state()["head.weight"][member])


def test_training_leaves_the_given_stack_alone() -> None:
    s = setting()
    stack = s.stack("cnn_bn")
    before = {name: tensor.clone() for name, tensor in stack.state().items()}
    in_fleet(s, stack)
    for name, tensor in stack.state().items():
        assert torch.equal(tensor, before[name])


def test_early_stopping_without_validation_is_an_error() -> None:
    s = setting()
    undefended = Regularisation(plugins.load("defence", "none"), torch.zeros(4), {})
    with pytest.raises(ValueError, match="early stopping needs a validation split"):
        train(s.stack("mlp"), s.pool, s.training, None, Recipe(0.01, 32, 3, 2), SEEDS, undefended)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_do_not_depend_on_how_they_are_batched(architecture: str) -> None:
    s = setting()
    stack = s.stack(architecture)
    whole = logits_of(stack, s.pool, s.validation.indices)
    torch.testing.assert_close(logits_of(stack, s.pool, s.validation.indices, batch=7), whole)
    for k in range(4):
        expected = logits_alone(alone(stack, k), s.alone(s.validation, k)[0])
        torch.testing.assert_close(whole[k], expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(predict(stack, s.pool, s.validation.indices), whole.argmax(-1))


def test_the_pool_is_centred_with_channels_last() -> None:
    images = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    pool = pool_of(images)
    assert pool.shape == (3, 4, 5, 2)
    assert pool.is_contiguous()
    assert pool[1, 2, 3, 1] == images[1, 1, 2, 3] - 0.5
