"""What is the kernel's own: no model depends on its neighbours, what it reads, and what PyTorch differentiates for it.

That its models are those of a plain PyTorch loop, test_fleet.py says beside the fleet's.
"""

from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest
import torch
from side_by_side import SEEDS, WEIGHTS, Setting, setting, through_kernel
from torch import Tensor

from repro import plugins
from repro.kernel.losses import NAMES
from repro.models import Block, Convolution, Dense
from repro.training import compiled, fleet
from repro.training.fleet import At
from repro.training.recipe import Recipe
from repro.training.stack import Stack

EARLY = Recipe(0.01, 32, epochs=6, patience=1)


def only(s: Setting, k: int) -> Setting:
    member = torch.tensor([k])
    return replace(s, training=s.training.of(member), validation=s.validation.of(member))


def same(one: Stack, k: int, other: Stack, j: int) -> bool:
    return all(torch.equal(tensor[k], other.state()[name][j]) for name, tensor in one.state().items())


def renamed(defence: str, dtype: torch.dtype) -> ModuleType:
    """A defence under a name that the kernel has no code for."""
    piece = plugins.load("defence", defence)
    found = {name: getattr(piece, name) for name in ("loss", "DRAWS") if hasattr(piece, name)}
    if hasattr(piece, "learned"):
        found["learned"] = lambda k: {n: t.to(dtype) for n, t in piece.learned(k).items()}
    return cast(ModuleType, SimpleNamespace(__name__="elsewhere", **found))


def test_every_loss_of_the_kernel_is_a_defence_s_and_every_defence_with_a_loss_has_its_code() -> None:
    with_a_loss = [n for n in plugins.names("defence") if not hasattr(plugins.load("defence", n), "train")]
    assert sorted(NAMES) == with_a_loss


@pytest.mark.parametrize("defence", NAMES)
def test_a_model_is_bit_for_bit_the_same_alone_in_company_and_in_another_order(defence: str) -> None:
    s = setting(dtype=torch.float32)
    for architecture in ("cnn_bn", "mlp"):
        together, epochs = through_kernel(s, s.stack(architecture), EARLY, defence)
        for k in (2, 0):
            alone, its_epochs = through_kernel(
                only(s, k),
                s.stack(architecture, SEEDS[k : k + 1]),
                EARLY,
                defence,
                seeds=SEEDS[k : k + 1],
                weights=WEIGHTS[k : k + 1],
            )
            assert its_epochs == [epochs[k]]
            assert same(alone, 0, together, k)


def test_a_neighbour_that_diverges_harms_nobody_and_stays_diverged() -> None:
    s = setting()
    healthy, _ = through_kernel(s, s.stack("cnn_bn"))
    broken = s.stack("cnn_bn")
    with torch.no_grad():
        broken.parameters["0.weight"][1] = torch.nan
    beside, _ = through_kernel(s, broken)
    assert beside.state()["head.weight"][1].isnan().all()
    assert all(same(beside, k, healthy, k) for k in (0, 2, 3))


@pytest.mark.parametrize("defence", ["margin", "snnl", "triplet"])
def test_a_loss_that_pytorch_differentiates_trains_as_the_one_written_out(defence: str) -> None:
    s = setting()
    written, _ = through_kernel(s, s.stack("cnn_bn"), defence=defence)
    asked, _ = through_kernel(s, s.stack("cnn_bn"), defence=defence, piece=renamed(defence, s.dtype))
    for name, tensor in written.state().items():
        torch.testing.assert_close(asked.state()[name], tensor, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [
        ((3, 7, 9), (Convolution(5, normalised=True), Convolution(3, stride=1), Convolution(9), Dense(11))),
        ((1, 5, 4), (Convolution(6, stride=3, normalised=True),)),
        ((2, 3, 3), (Dense(13), Dense(1))),
        ((12, 1, 1), ()),
    ],
)
@pytest.mark.parametrize("defence", ["none", "snnl"])
def test_odd_shapes_train_and_read_as_the_fleet_does(
    shape: tuple[int, int, int], blocks: tuple[Block, ...], defence: str
) -> None:
    """Widths that are no multiple of a vector, incomplete tiles, other strides, no hidden layer at all."""
    fresh = Stack.initialised(blocks, shape, 3, SEEDS)
    start = Stack(blocks, shape, 3, {name: tensor.double() for name, tensor in fresh.state().items()})
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(150, *shape, generator=generator)
    s = replace(setting(), images=images)
    s.training.indices.remainder_(150)
    s.training.labels.remainder_(3)
    piece = plugins.load("defence", defence)
    how = fleet.Regularisation(piece, torch.full((4,), 0.5).double(), piece.OPTIONS)
    arguments = (start, s.pool, s.training, None, Recipe(0.01, 27, 2), SEEDS, how)
    one, other = compiled.train(*arguments)[0], fleet.train(*arguments)[0]
    for name, tensor in other.state().items():
        torch.testing.assert_close(one.state()[name], tensor, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(
        compiled.logits_of(one, s.pool, s.training.indices),
        fleet.logits_of(other, s.pool, s.training.indices),
    )


def test_an_observer_sees_the_epochs_it_asks_for_and_who_is_still_in_training() -> None:
    s = setting()
    seen: dict[int, tuple[list[int], Tensor]] = {}

    def see(epoch: int, members: Tensor, stack: Stack) -> None:
        seen[epoch] = members.tolist(), stack.state()["head.weight"].clone()

    trained, epochs = through_kernel(s, s.stack("mlp"), EARLY, observe=At((1, 3, 6), see))
    assert set(seen) <= {1, 3, 6}
    assert seen[1][0] == [0, 1, 2, 3]
    for epoch, (members, weights) in seen.items():
        assert members == [k for k in range(4) if epochs[k] >= epoch]
        for place, k in enumerate(members):
            assert torch.equal(weights[place], trained.state()["head.weight"][k]) == (epochs[k] == epoch)


def test_the_given_stack_is_left_alone() -> None:
    s = setting()
    start = s.stack("cnn_bn")
    before = {name: tensor.clone() for name, tensor in start.state().items()}
    through_kernel(s, start)
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.state().items())


def test_early_stopping_needs_a_validation_split() -> None:
    s = setting()
    piece = plugins.load("defence", "none")
    how = fleet.Regularisation(piece, torch.zeros(4).double(), {})
    with pytest.raises(ValueError, match="validation"):
        compiled.train(s.stack("mlp"), s.pool, s.training, None, EARLY, SEEDS, how)
