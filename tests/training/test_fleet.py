"""A model of a fleet, or of the kernel, is the same model trained alone: against a plain PyTorch loop, over
architectures and defences.

In double precision the two agree for as long as anyone trains. In single precision they agree for the first steps, and
then a few models diverge at ties of the rectifier, as PyTorch does against itself in another memory format.
"""

from dataclasses import replace

import pytest
import torch
from plain_defences import DEFENCES, START_OF_BETA
from plain_loop import alone, logits_alone
from side_by_side import SEEDS, WEIGHTS, both, in_fleet, setting
from torch import Tensor

from repro import plugins
from repro.harness.runs import engine_of
from repro.training.fleet import Regularisation, logits_of, pool_of, predict, train
from repro.training.recipe import Recipe
from repro.training.stack import Stack

ARCHITECTURES = [name for name in plugins.names("architecture") if engine_of(name) == "stacked"]


def test_every_defence_has_its_oracle_here() -> None:
    trained_by_the_fleet = [
        n for n in plugins.names("defence") if not hasattr(plugins.load("defence", n), "train")
    ]
    assert sorted(DEFENCES) == trained_by_the_fleet


@pytest.mark.parametrize("defence", DEFENCES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_member_equals_the_same_model_trained_alone(architecture: str, defence: str) -> None:
    result = both(setting(), architecture, defence=defence)
    losses = torch.stack(result.recorder.losses, 1)
    expected = torch.tensor([t.losses for t in result.trained], dtype=torch.float64)
    assert losses.shape == expected.shape == (4, 3 * (140 // 32))
    torch.testing.assert_close(losses, expected, rtol=1e-8, atol=0)
    assert max(result.differences()) < 1e-7
    assert max(result.compiled_differences()) < 1e-7
    assert result.epochs == result.compiled_epochs == [3] * 4


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
    assert early[:, :3].max().item() < 1e-5
    # With four times the units, one model meets a tie of a ReLU a step sooner.
    parted = 1 if (architecture, defence) == ("cnn_wide", "snnl") else 0
    assert int((early >= 1e-5).any(1).sum()) <= parted
    for found in (result.differences(), result.compiled_differences()):
        differences = sorted(found)
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
    assert result.epochs == result.compiled_epochs == [t.epochs for t in result.trained]
    assert len(set(result.epochs)) > 1
    assert min(result.epochs) < 14
    assert max(result.differences()) < 1e-7
    assert max(result.compiled_differences()) < 1e-7


def test_defended_members_that_stop_early_keep_their_own_weights_draws_and_boundaries() -> None:
    seeds = list(range(6))
    weights = [0.9, 0.1, 0.5, 0.2, 1.0, 0.7]
    recipe = Recipe(0.01, 32, epochs=10, patience=1)
    for defence in ("manifold_mixup", "margin"):
        result = both(setting(6), "mlp", recipe, defence, seeds=seeds, weights=weights)
        assert result.epochs == result.compiled_epochs == [t.epochs for t in result.trained]
        assert len(set(result.epochs)) > 1
        assert max(result.differences()) < 1e-7
        assert max(result.compiled_differences()) < 1e-7


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
    assert max(again.compiled_differences()) < 1e-7
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
