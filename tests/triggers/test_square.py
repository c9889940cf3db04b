"""The square at a fixed place."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import ReproError
from repro.triggers import Scene
from repro.triggers.square import OPTIONS, check, pattern


def scene(c: int, h: int, w: int) -> Scene:
    images = np.full((2, c, h, w), 0.5, np.float32)
    return Scene(images, images, images[0], np.random.default_rng(0))


@given(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12), st.data(), st.sampled_from([0.0, 0.3, 1.0]))
def test_the_square_lies_at_its_offset_from_top_and_left_and_nowhere_else(
    c: int, h: int, w: int, data: st.DataObject, value: float
) -> None:
    size = data.draw(st.integers(1, min(h, w)))
    offset = data.draw(st.integers(0, min(h, w) - size))
    check((c, h, w), size, offset, value)
    trigger, mask = pattern(scene(c, h, w), size, offset, value)
    for i in range(h):
        for j in range(w):
            inside = offset <= i < offset + size and offset <= j < offset + size
            assert mask[0, 0, i, j] == (0 if inside else 1)
            if inside:
                assert trigger[0, 0, i, j] == np.float32(value)


def test_by_default_it_is_the_papers_at_224_pixels() -> None:
    """Black, 22 pixels wide, 22 from the top and the left."""
    trigger, mask = pattern(scene(3, 224, 224), **OPTIONS)
    rows, columns = np.nonzero(mask[0, 0] == 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (22, 43, 22, 43)
    assert len(rows) == 22 * 22
    assert not trigger[mask == 0].any()


@pytest.mark.parametrize(
    ("size", "offset", "shape"),
    [
        (9, 0, (1, 8, 8)),
        (3, 6, (1, 8, 8)),
        (3, 4, (1, 6, 20)),
        (0, 1, (1, 8, 8)),
        (3, -1, (1, 8, 8)),
    ],
)
def test_a_square_that_leaves_the_image_is_an_error(
    size: int, offset: int, shape: tuple[int, int, int]
) -> None:
    wanted = f"square of {size} pixels at offset {offset} does not fit an image of {shape[1]}x{shape[2]}"
    with pytest.raises(ReproError, match=f"^{re.escape(wanted)}$"):
        check(shape, size, offset, 0.0)


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_a_value_that_is_no_pixels_is_an_error(value: float) -> None:
    with pytest.raises(ReproError, match=rf"^square's value {value} is outside \[0, 1\]$"):
        check((1, 8, 8), 3, 1, value)
