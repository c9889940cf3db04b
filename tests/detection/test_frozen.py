import pytest
import torch
from torch import Tensor

from repro import plugins
from repro.detection.frozen import Frozen
from repro.harness.runs import engine_of
from repro.training.stack import Stack

STACKED = [name for name in plugins.names("architecture") if engine_of(name) == "stacked"]


def lived_in(architecture: str, shape: tuple[int, int, int]) -> Stack:
    """Three models whose every tensor, running statistics and scales too, is away from its initial value."""
    blocks = plugins.load("architecture", architecture).blocks(shape, 5)
    generator = torch.Generator().manual_seed(1)
    state = {
        name: (tensor + 0.3 * torch.rand(tensor.shape, generator=generator)).double()
        for name, tensor in Stack.initialised(blocks, shape, 5, [1, 2, 3]).state().items()
    }
    return Stack(blocks, shape, 5, state)


def stack_logits(stack: Stack, images: Tensor) -> Tensor:
    return stack.logits(stack.hidden(images, training=False))


# 8x8: all convolutions as matrices; 9x9: of odd size, the first as itself.
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (7, 5)])
@pytest.mark.parametrize("architecture", STACKED)
def test_logits_and_input_gradients_are_the_stack_s_own(architecture: str, size: tuple[int, int]) -> None:
    stack = lived_in(architecture, (2, *size))
    images = torch.rand(3, 6, *size, 2, dtype=torch.float64, requires_grad=True)
    ours, theirs = Frozen(stack).logits(images), stack_logits(stack, images)
    torch.testing.assert_close(ours, theirs)
    upstream = torch.rand_like(ours)
    (gradient,) = torch.autograd.grad(ours, images, upstream)
    torch.testing.assert_close(gradient, torch.autograd.grad(theirs, images, upstream)[0])


def test_it_leaves_the_stack_alone_and_takes_no_gradient_of_weights() -> None:
    stack = lived_in("cnn_bn", (1, 8, 8))
    before = {name: tensor.clone() for name, tensor in stack.state().items()}
    logits = Frozen(stack).logits(torch.rand(3, 6, 8, 8, 1, dtype=torch.float64))
    assert not logits.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in stack.state().items())
