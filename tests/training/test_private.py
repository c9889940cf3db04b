"""A privately trained model is the same model trained alone: by single examples, and by Opacus."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_loop import alone, largest_difference
from plain_private import (
    CLIP,
    MULTIPLIERS,
    RECIPE,
    clipped_one_by_one,
    privately,
    samples_by_step,
    train_by_opacus,
    train_one_by_one,
)
from side_by_side import SEEDS, setting
from torch import Tensor

from repro import plugins
from repro.errors import ReproError
from repro.losses import Batch
from repro.models import Block, Convolution, Dense
from repro.training import fleet
from repro.training.fleet import Regularisation
from repro.training.private import clipped_sums, padded, train
from repro.training.recipe import Recipe
from repro.training.stack import Stack


@st.composite
def problems(draw: st.DrawFn) -> tuple[Stack, Tensor, Tensor]:
    """A stack of some blocks, images (K, B, H, W, C) and labels (K, B), in double precision."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    convolutions = st.builds(Convolution, st.integers(1, 9), st.integers(1, 3))
    blocks: list[Block] = [
        *draw(st.lists(convolutions, max_size=2)),
        *draw(st.lists(st.builds(Dense, st.integers(1, 12)), max_size=2)),
    ]
    members, batch, classes = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(2, 4))
    seed = draw(st.integers(0, 2**32))
    fresh = Stack.initialised(blocks, shape, classes, [seed + k for k in range(members)])
    stack = Stack(blocks, shape, classes, {n: t.double() for n, t in fresh.state().items()})
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    images = torch.randn(members, batch, height, width, channels, generator=generator).double()
    return stack, images, torch.randint(classes, (members, batch), generator=generator)


def in_pytorch_layout(stack: Stack, sums: dict[str, Tensor], member: int) -> list[Tensor]:
    like = Stack(stack.blocks, stack.shape, stack.classes, sums)
    return [p.detach() for p in alone(like, member).parameters()]


@settings(deadline=None, max_examples=60)
@given(problems(), st.sampled_from([1e-3, 0.5, 2.0, 1e3]))
def test_clipped_sums_are_those_of_single_examples(
    problem: tuple[Stack, Tensor, Tensor], clip: float
) -> None:
    stack, images, labels = problem
    present = torch.ones_like(labels, dtype=torch.bool)
    sums, norms = clipped_sums(stack, images, labels, present, clip)
    assert sums.keys() == stack.parameters.keys()
    for k in range(stack.members):
        expected, their_norms = clipped_one_by_one(
            alone(stack, k), images[k].permute(0, 3, 1, 2), labels[k], clip
        )
        torch.testing.assert_close(
            norms[k], torch.tensor(their_norms, dtype=torch.float64), rtol=1e-9, atol=1e-12
        )
        for mine, theirs in zip(in_pytorch_layout(stack, sums, k), expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(problems(), st.floats(1e-3, 1e2))
def test_no_example_weighs_more_than_the_largest_norm_and_none_is_stretched(
    problem: tuple[Stack, Tensor, Tensor], clip: float
) -> None:
    stack, images, labels = problem
    for b in range(labels.shape[1]):
        present = torch.arange(labels.shape[1]).eq(b).expand_as(labels)
        sums, norms = clipped_sums(stack, images, labels, present, clip)
        lengths = torch.cat([total.flatten(1) for total in sums.values()], 1).norm(dim=1)
        assert (lengths <= clip * (1 + 1e-12)).all()
        torch.testing.assert_close(lengths, norms[:, b].clamp_max(clip), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(problems(), st.data())
def test_examples_that_were_not_drawn_have_no_part(
    problem: tuple[Stack, Tensor, Tensor], data: st.DataObject
) -> None:
    stack, images, labels = problem
    batch = labels.shape[1]
    kept = data.draw(st.lists(st.integers(0, batch - 1), min_size=1, unique=True))
    present = torch.zeros_like(labels, dtype=torch.bool)
    present[:, kept] = True
    loud = torch.where(present[:, :, None, None, None], images, 1e6 * images)
    sums, _ = clipped_sums(stack, loud, labels, present, CLIP)
    alone_sums, _ = clipped_sums(stack, images[:, kept], labels[:, kept], present[:, kept], CLIP)
    for name, total in sums.items():
        torch.testing.assert_close(total, alone_sums[name], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("blocks", [(Dense(4),), (Convolution(9), Dense(4)), (Convolution(2, 1),)])
def test_an_example_without_a_gradient_leaves_the_sum_finite(blocks: tuple[Block, ...]) -> None:
    stack = Stack.initialised(blocks, (1, 4, 4), 3, [0])
    with torch.no_grad():
        stack.parameters["head.bias"][0, 0, 1] = 1e4
    sums, norms = clipped_sums(
        stack, torch.rand(1, 2, 4, 4, 1), torch.tensor([[1, 1]]), torch.ones(1, 2, dtype=torch.bool), CLIP
    )
    assert norms.tolist() == [[0, 0]]
    assert all((total == 0).all() for total in sums.values())


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_without_noise_training_equals_opacus(architecture: str) -> None:
    """Opacus adds 1e-6 to the norm that it divides by."""
    s = setting(2)
    stack = s.stack(architecture, SEEDS[:2])
    trained, _ = privately(s, stack, multipliers=[0.0, 0.0], seeds=SEEDS[:2])
    for k in range(2):
        start = alone(stack, k)
        model = train_by_opacus(alone(stack, k), s.alone(s.training, k), RECIPE, SEEDS[k], CLIP, 0.0)
        assert largest_difference(alone(trained, k), model) < 1e-4
        assert largest_difference(start, model) > 0.05


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_a_member_equals_the_same_model_trained_alone(architecture: str) -> None:
    s = setting(size=70)
    stack = s.stack(architecture)
    trained, epochs = privately(s, stack, purpose="victim")
    assert epochs == [2] * 4
    for k, (seed, multiplier) in enumerate(zip(SEEDS, MULTIPLIERS, strict=True)):
        own = s.alone(s.training, k)
        model = train_one_by_one(stack, k, own, RECIPE, seed, CLIP, multiplier, "victim")
        assert largest_difference(alone(trained, k), model) < 1e-7


def test_a_member_does_not_depend_on_its_companions() -> None:
    s = setting(size=70)
    together, _ = privately(s, s.stack("mlp"))
    there = [2, 0]
    few = replace(s, training=s.training.of(torch.tensor(there)))
    seeds, multipliers = [SEEDS[k] for k in there], [MULTIPLIERS[k] for k in there]
    apart, _ = privately(few, few.stack("mlp", seeds), multipliers=multipliers, seeds=seeds)
    for name, tensor in apart.state().items():
        torch.testing.assert_close(tensor, together.state()[name][there], rtol=1e-7, atol=1e-9)


def test_a_neighbour_that_diverges_harms_nobody() -> None:
    s = setting(size=70)
    healthy, _ = privately(s, s.stack("cnn"))
    broken = s.stack("cnn")
    with torch.no_grad():
        broken.parameters["0.weight"][1] = torch.nan
    beside, _ = privately(s, broken)
    assert beside.state()["head.weight"][1].isnan().all()
    for name, tensor in beside.state().items():
        assert torch.equal(tensor[[0, 2, 3]], healthy.state()[name][[0, 2, 3]])


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=4))
def test_padding_keeps_every_members_own_draw_in_order(rows: list[list[bool]]) -> None:
    order, present = padded(torch.tensor(rows))
    assert order.shape == present.shape == (len(rows), max(1, *(sum(row) for row in rows), 0))
    for k, row in enumerate(rows):
        assert order[k][present[k]].tolist() == [i for i, drawn in enumerate(row) if drawn]
        assert present[k].sum() == sum(row)


def test_a_step_that_draws_nobody_is_noise_alone() -> None:
    s = setting(1, size=2)
    recipe = Recipe(0.01, 1, epochs=6)
    assert any(len(drawn) == 0 for drawn in samples_by_step(2, recipe, 5))
    for multiplier in (0.0, 1.0):
        stack = s.stack("cnn", [5])
        trained, _ = privately(s, stack, recipe, multipliers=[multiplier], seeds=[5])
        model = train_one_by_one(stack, 0, s.alone(s.training, 0), recipe, 5, CLIP, multiplier)
        assert largest_difference(alone(trained, 0), model) < 1e-7


def test_retraining_and_another_seed_draw_anew() -> None:
    s = setting(2, size=70)
    s = replace(s, training=s.training.of(torch.tensor([0, 0])))
    same = s.stack("mlp", [7, 7])
    for multiplier in (0.0, 1.0):
        first, _ = privately(s, same, multipliers=[multiplier] * 2, seeds=[7, 8])
        again, _ = privately(s, same, multipliers=[multiplier] * 2, seeds=[7, 8], purpose="retraining")
        weights = [*first.state()["head.weight"], *again.state()["head.weight"]]
        assert all(not torch.allclose(a, b) for i, a in enumerate(weights) for b in weights[:i])


def test_the_observer_sees_every_epoch_and_the_given_stack_is_left_alone() -> None:
    s = setting(size=70)
    stack = s.stack("mlp")
    before = {name: tensor.clone() for name, tensor in stack.state().items()}
    seen: list[tuple[int, list[int]]] = []
    heads: list[Tensor] = []

    def observe(epoch: int, members: Tensor, current: Stack) -> None:
        seen.append((epoch, members.tolist()))
        heads.append(current.state()["head.weight"].clone())

    trained, _ = privately(s, stack, observe=observe)
    assert seen == [(1, [0, 1, 2, 3]), (2, [0, 1, 2, 3])]
    assert torch.equal(heads[1], trained.state()["head.weight"])
    assert not torch.equal(heads[0], heads[1])
    assert all(torch.equal(tensor, before[name]) for name, tensor in stack.state().items())


def test_the_defence_trains_by_itself_and_has_no_loss() -> None:
    piece = plugins.load("defence", "dp_sgd")
    assert piece.train is train
    assert piece.OPTIONS == {"clip": 1.0}
    batch = Batch(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(1, 2).long(), torch.zeros(0), {})
    with pytest.raises(ReproError, match="dp_sgd: needs the gradients of single examples") as error:
        piece.loss(batch, torch.zeros(1), clip=1.0)
    assert "\n" not in str(error.value)
    s = setting(size=70)
    undone = Regularisation(piece, torch.zeros(4), {"clip": 1.0})
    with pytest.raises(ReproError, match="dp_sgd"):
        fleet.train(s.stack("mlp"), s.pool, s.training, None, RECIPE, SEEDS, undone)


def test_what_cannot_be_trained_privately_is_said() -> None:
    s = setting(size=70)
    with pytest.raises(ReproError, match="dp_sgd: architecture whose block 1 normalises over the batch"):
        privately(s, s.stack("cnn_bn"))
    with pytest.raises(ReproError, match=r"dp_sgd: option clip is 0\.0"):
        privately(s, s.stack("mlp"), clip=0.0)
    with pytest.raises(ReproError, match="dp_sgd: a weight is below 0"):
        privately(s, s.stack("mlp"), multipliers=[0, 0, -0.1, 0])
    with pytest.raises(ValueError, match="no early stopping"):
        privately(s, s.stack("mlp"), replace(RECIPE, patience=2))
