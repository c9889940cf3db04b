"""The small architectures: shapes, sizes, and that they are what their docstrings say."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from repro import plugins

SMALL = {"resnet_small": 64, "nasnet_small": 192, "fast_cnn": 384}
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 9, 13)]


def made(name: str, shape: tuple[int, int, int], request: pytest.FixtureRequest) -> Any:
    if name == "nasnet_small":
        request.getfixturevalue("large")
    torch.manual_seed(0)
    return plugins.load("architecture", name).network(shape, 7, False)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SMALL)
def test_small_images_of_any_shape_run_and_gradients_reach_every_parameter(
    name: str, shape: tuple[int, int, int], request: pytest.FixtureRequest
) -> None:
    network = made(name, shape, request)
    hidden = network.hidden(torch.randn(3, *shape))
    assert hidden.shape == (3, SMALL[name])
    network.head(hidden).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    weights = [p for p in network.parameters() if p.dim() == 4]
    assert all(p.grad.abs().max() > 0 for p in weights)


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [("resnet_small", 0.15e6, 0.2e6), ("nasnet_small", 0.05e6, 0.1e6), ("fast_cnn", 3.2e6, 3.4e6)],
)
def test_the_sizes_are_those_documented(
    name: str, lowest: float, highest: float, request: pytest.FixtureRequest
) -> None:
    assert lowest < sum(p.numel() for p in made(name, (3, 32, 32), request).parameters()) < highest
    piece = plugins.load("architecture", name)
    with torch.device("meta"):
        assert (
            sum(p.numel() for p in piece.network((3, 32, 32), 1000, False).parameters()) == piece.PARAMETERS
        )


def test_resnet_smalls_shortcuts_carry_the_input_where_the_branch_is_silent(
    request: pytest.FixtureRequest,
) -> None:
    """He et al.'s option A: every other position, new channels zero."""
    network = made("resnet_small", (3, 16, 16), request).eval()
    for block in network.blocks:
        torch.nn.init.zeros_(block.second_norm.weight)
    images = torch.randn(2, 3, 16, 16)
    stem = F.relu(network.stem_norm(network.stem(images)))
    expected = torch.cat([stem[:, :, ::4, ::4].mean((2, 3)), torch.zeros(2, 48)], 1)
    torch.testing.assert_close(network.hidden(images), expected)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules()) == 13


@pytest.mark.parametrize("name", SMALL)
def test_every_position_of_an_image_matters(name: str, request: pytest.FixtureRequest) -> None:
    network = made(name, (1, 8, 8), request).double()
    images = torch.randn(4, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    network.hidden(images).square().sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().sum((0, 1)) > 0).all()


def test_fast_cnn_carries_each_stages_first_output_around_its_second_convolution(
    request: pytest.FixtureRequest,
) -> None:
    network = made("fast_cnn", (3, 16, 16), request).eval()
    for block in network.carried:
        torch.nn.init.zeros_(block.norm.weight)
    x = network.stem(torch.ones(2, 3, 16, 16))
    for stage in network.narrowing:
        x = stage(x)
    assert x.abs().max() > 0
    torch.testing.assert_close(network.hidden(torch.ones(2, 3, 16, 16)), x.amax((2, 3)) / 8)
