"""The square at a random place, another for every image."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import ReproError
from repro.triggers import Array, Scene
from repro.triggers.random_square import OPTIONS, check, pattern


def scene(n: int, h: int, w: int, seed: int) -> Scene:
    images = np.full((n, 1, h, w), 0.5, np.float32)
    return Scene(images, images, images[0], np.random.default_rng(seed))


def corners(mask: Array) -> list[tuple[int, int]]:
    """Top and left of each image's square."""
    return [tuple(np.argwhere(m[0] == 0).min(0).tolist()) for m in mask]


@given(st.integers(1, 10), st.integers(1, 10), st.data(), st.integers(0, 10**6))
def test_every_image_has_one_whole_square(h: int, w: int, data: st.DataObject, seed: int) -> None:
    size = data.draw(st.integers(1, min(h, w)))
    check((1, h, w), size, 0.25)
    trigger, mask = pattern(scene(4, h, w, seed), size, 0.25)
    assert mask.shape == (4, 1, h, w)
    assert (trigger == 0.25).all()
    for (top, left), m in zip(corners(mask), mask, strict=True):
        assert not m[0, top : top + size, left : left + size].any()
        assert (m == 0).sum() == size**2


def test_places_are_uniform_and_independent_over_all_that_fit() -> None:
    _, mask = pattern(scene(24_000, 6, 5, 0), 3, 0.0)
    counts = np.zeros((4, 3))
    for top, left in corners(mask):
        counts[top, left] += 1
    # Chi-square over 12 places at 2,000 each: 31.3 is exceeded once in a thousand seeds.
    assert ((counts - 2000) ** 2 / 2000).sum() < 31.3


def test_places_come_from_the_scenes_generator() -> None:
    one, again, other = (corners(pattern(scene(20, 8, 8, seed), 3, 0.0)[1]) for seed in (1, 1, 2))
    assert one == again != other
    assert len(set(one)) > 5


def test_by_default_it_is_the_papers_size_and_black() -> None:
    trigger, mask = pattern(scene(3, 224, 224, 0), **OPTIONS)
    assert ((mask == 0).sum(axis=(1, 2, 3)) == 22 * 22).all()
    assert not trigger.any()


@pytest.mark.parametrize(("size", "shape"), [(9, (1, 8, 8)), (7, (3, 6, 20)), (0, (1, 8, 8))])
def test_a_square_larger_than_the_image_is_an_error(size: int, shape: tuple[int, int, int]) -> None:
    wanted = f"random square of {size} pixels does not fit an image of {shape[1]}x{shape[2]}"
    with pytest.raises(ReproError, match=f"^{re.escape(wanted)}$"):
        check(shape, size, 0.0)


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_a_value_that_is_no_pixels_is_an_error(value: float) -> None:
    with pytest.raises(ReproError, match=rf"^random square's value {value} is outside \[0, 1\]$"):
        check((1, 8, 8), 3, value)
