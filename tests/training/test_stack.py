"""A stack of models: its forward pass, running statistics and initialisation, against PyTorch's modules."""

from math import prod, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_loop import PlainModel, alone, largest_difference

from repro import plugins
from repro.harness.runs import engine_of
from repro.models import Block, Convolution, Dense
from repro.training.stack import Stack

ARCHITECTURES = [name for name in plugins.names("architecture") if engine_of(name) == "stacked"]


def stack_of(architecture: str, shape: tuple[int, int, int], seeds: list[int]) -> Stack:
    return Stack.initialised(plugins.load("architecture", architecture).blocks(shape, 5), shape, 5, seeds)


def in_double(stack: Stack) -> Stack:
    return Stack(stack.blocks, stack.shape, stack.classes, {n: t.double() for n, t in stack.state().items()})


blocks = st.builds(
    lambda convolutions, dense: (*convolutions, *dense),
    st.lists(st.builds(Convolution, st.integers(1, 3), st.sampled_from([1, 2]), st.booleans()), max_size=3),
    st.lists(st.builds(Dense, st.integers(1, 4)), max_size=2),
).filter(bool)


@settings(deadline=None, max_examples=60)
@given(
    blocks,
    st.tuples(st.integers(1, 3), st.integers(2, 7), st.integers(2, 7)),
    st.integers(2, 5),
    st.booleans(),
)
def test_any_stack_computes_what_its_modules_compute(
    described: tuple[Block, ...], shape: tuple[int, int, int], batch: int, training: bool
) -> None:
    stack = in_double(Stack.initialised(described, shape, 4, [1, 2]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # as if it had been trained: no scale is 1, no shift or running mean 0
        for name, tensor in (stack.parameters | stack.buffers).items():
            if name.endswith(("scale", "shift", "mean", "var")):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    models = [alone(stack, k).train(training) for k in range(2)]
    for _ in range(2):  # the second pass sees the running statistics that the first has moved
        images = torch.rand(2, batch, *shape, generator=generator, dtype=torch.float64)
        hidden = stack.hidden(images.permute(0, 1, 3, 4, 2), training)
        logits = stack.logits(hidden)
        for k, model in enumerate(models):
            expected = model.body(images[k])
            # The order within h does not matter to anyone, only that the head reads it in the same one.
            torch.testing.assert_close(hidden[k].sum(1), expected.sum(1), rtol=1e-9, atol=1e-10)
            torch.testing.assert_close(logits[k], model.head(expected), rtol=1e-9, atol=1e-10)
    for k, model in enumerate(models):
        assert largest_difference(alone(stack, k), model) < 1e-9


def test_running_statistics_are_batch_norms_with_the_unbiased_variance() -> None:
    stack = stack_of("cnn_bn", (1, 8, 8), [1, 2])
    images = torch.rand(2, 4, 8, 8, 1, generator=torch.Generator().manual_seed(0))
    models = [alone(stack, k).train() for k in range(2)]
    stack.hidden(images, training=True)
    for k, model in enumerate(models):
        model(images[k].permute(0, 3, 1, 2))
        for position, layer in ((0, model.body[1]), (1, model.body[4])):
            torch.testing.assert_close(stack.buffers[f"{position}.running_var"][k, 0], layer.running_var)
            torch.testing.assert_close(stack.buffers[f"{position}.running_mean"][k, 0], layer.running_mean)
    before = {name: tensor.clone() for name, tensor in stack.buffers.items()}
    stack.hidden(images, training=False)
    for name, tensor in stack.buffers.items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_member_is_drawn_from_its_own_seed_alone(architecture: str) -> None:
    three = stack_of(architecture, (1, 8, 8), [3, 4, 5]).state()
    one = stack_of(architecture, (1, 8, 8), [4]).state()
    for name, tensor in three.items():
        assert torch.equal(tensor[1:2], one[name])
        if tensor[0].unique().numel() > 1:
            assert not torch.equal(tensor[0], tensor[1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_initialisation_is_pytorchs_default(architecture: str) -> None:
    """Same tensors, and of each the same bound and spread as the layers of PyTorch have."""
    stack = stack_of(architecture, (1, 8, 8), list(range(20)))
    drawn = [alone(stack, k).state_dict() for k in range(20)]
    torch.manual_seed(0)
    default = [PlainModel(stack.blocks, stack.shape, 5).state_dict() for _ in range(20)]
    for name in default[0]:
        ours, theirs = (torch.stack([s[name] for s in states]).double() for states in (drawn, default))
        assert ours.shape == theirs.shape
        if ours.unique().numel() < 10:
            assert torch.equal(ours, theirs)
            continue
        count = prod(ours.shape)
        spread = theirs.std().item()
        assert ours.abs().max().item() <= 1.001 * spread * sqrt(3) * (1 + 4 / sqrt(count))
        assert abs(ours.std().item() - spread) < spread * 6 / sqrt(count)
        assert abs(ours.mean().item()) < 5 * spread / sqrt(count)


def test_a_stack_shares_no_memory_with_what_it_was_made_from() -> None:
    stack = stack_of("cnn_bn", (1, 8, 8), [1])
    copy = Stack(stack.blocks, stack.shape, stack.classes, stack.state())
    stack.hidden(torch.rand(1, 4, 8, 8, 1), training=True)
    with torch.no_grad():
        stack.parameters["head.weight"].zero_()
    assert copy.parameters["head.weight"].any()
    assert not copy.buffers["0.running_mean"].any()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_bias_stands_before_a_normalisation(architecture: str) -> None:
    stack = stack_of(architecture, (1, 8, 8), [1])
    for position, block in enumerate(stack.blocks):
        normalised = isinstance(block, Convolution) and block.normalised
        assert (f"{position}.bias" in stack.parameters) is not normalised
        assert (f"{position}.shift" in stack.parameters) is normalised
