"""Batches flipped and moved in one gather: each image is what NumPy's padding, cropping and mirroring make of it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from repro.training.networks_batches import batch_of, draws_for


def pool_of_noise(side: tuple[int, int], channels: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (6, *side, channels), generator=generator, dtype=torch.uint8)


def moved(image: np.ndarray, flip: bool, down: int, right: int, reach: tuple[int, int]) -> np.ndarray:
    """The crop of an image, mirrored at its edges, that begins ``down`` and ``right`` of the corner; flipped before."""
    height, width = image.shape[:2]
    image = image[:, ::-1] if flip else image
    padded = np.pad(image, ((reach[0],) * 2, (reach[1],) * 2, (0, 0)), mode="reflect")
    return padded[reach[0] + down :, reach[1] + right :][:height, :width]


@given(
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    channels=st.integers(1, 3),
    seed=st.integers(0, 1000),
    augmentation=st.sampled_from(["flip", "flip+translate"]),
)
def test_every_image_is_flipped_and_moved_as_its_draws_say(
    height: int, width: int, channels: int, seed: int, augmentation: str
) -> None:
    pool = pool_of_noise((height, width), channels, seed)
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randint(0, len(pool), (5,), generator=generator)
    draws = draws_for(augmentation, 5, generator)
    assert draws is not None
    batch = batch_of(pool, indices, augmentation, draws)
    assert batch.shape == (5, height, width, channels)
    assert batch.dtype == torch.uint8
    reach = tuple(max(1, round(side / 16)) for side in (height, width))
    for image, index, (flip, down, right) in zip(batch, indices, draws.tolist(), strict=True):
        steps = [
            int(draw * (2 * most + 1)) - most if augmentation == "flip+translate" else 0
            for draw, most in zip((down, right), reach, strict=True)
        ]
        expected = moved(pool[index].numpy(), flip < 0.5, steps[0], steps[1], (reach[0], reach[1]))
        assert np.array_equal(image.numpy(), expected)


def test_half_are_flipped_and_every_shift_is_about_as_frequent() -> None:
    pool = torch.arange(32 * 32 * 3, dtype=torch.int32).view(1, 32, 32, 3)
    draws = draws_for("flip+translate", 20_000, torch.Generator().manual_seed(0))
    corner = batch_of(pool, torch.zeros(20_000, dtype=torch.long), "flip+translate", draws)[:, 8:10, 8:10, 0]
    row, column = corner[:, 0, 0] // 96, corner[:, 0, 0] % 96 // 3
    flipped = corner[:, 0, 1] < corner[:, 0, 0]
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.015)
    for shifts in (row - 8, (column - 8)[~flipped], (column - 23)[flipped]):
        values, counts = shifts.unique(return_counts=True)
        assert values.tolist() == [-2, -1, 0, 1, 2]
        assert (counts / len(shifts)).tolist() == pytest.approx([0.2] * 5, abs=0.02)


def test_without_augmentation_images_are_the_pools_and_nothing_is_drawn() -> None:
    pool = pool_of_noise((5, 7), 2)
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    assert draws_for("none", 10, generator) is None
    assert torch.equal(generator.get_state(), before)
    assert torch.equal(batch_of(pool, torch.tensor([3, 0]), "none", None), pool[[3, 0]])
