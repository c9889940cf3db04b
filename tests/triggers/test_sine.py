"""The horizontal sine."""

import re
from math import pi, sin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import ReproError
from repro.triggers import Scene, blend
from repro.triggers.sine import OPTIONS, check, pattern


def scene(c: int, h: int, w: int) -> Scene:
    images = np.full((2, c, h, w), 0.5, np.float32)
    return Scene(images, images, images[0], np.random.default_rng(0))


def test_by_default_it_is_the_papers_formula_at_224_pixels_in_every_row_and_channel() -> None:
    s = scene(3, 224, 224)
    trigger, mask = pattern(s, **OPTIONS)
    everywhere = np.broadcast_to(trigger, s.images.shape)
    for j in range(224):
        np.testing.assert_allclose(everywhere[:, :, :, j], 0.4 * sin(0.05 * pi * j), atol=1e-6)
    assert not mask.any()


@given(st.integers(2, 40), st.floats(0.1, 1), st.data())
def test_it_makes_the_stated_number_of_cycles_an_image(
    width: int, amplitude: float, data: st.DataObject
) -> None:
    cycles = data.draw(st.floats(0.1, width / 2))
    check((1, 3, width), amplitude, cycles)
    trigger, _ = pattern(scene(1, 3, width), amplitude, cycles)
    for j in range(width):
        assert abs(trigger[0, 0, 0, j] - amplitude * sin(2 * pi * cycles * j / width)) < 1e-5


def test_blended_it_moves_every_row_and_channel_alike() -> None:
    s = scene(3, 9, 8)
    stamped = blend(s.images, *pattern(s, 0.4, 2.0), 0.5)
    np.testing.assert_allclose(stamped - stamped[:1, :1, :1], 0, atol=1e-7)
    assert np.ptp(stamped[0, 0, 0]) > 0.3


@pytest.mark.parametrize("cycles", [0, -1.0, 4.5])
def test_fewer_than_two_pixels_a_cycle_are_an_error(cycles: float) -> None:
    wanted = f"sine of {cycles} cycles needs at least two pixels each, of 8 columns"
    with pytest.raises(ReproError, match=f"^{re.escape(wanted)}$"):
        check((1, 100, 8), 0.4, cycles)
    check((1, 100, 8), 0.4, 4.0)


@pytest.mark.parametrize("amplitude", [0, -0.1, 1.1])
def test_an_amplitude_outside_0_to_1_is_an_error(amplitude: float) -> None:
    with pytest.raises(ReproError, match=rf"^sine's amplitude {amplitude} is outside \(0, 1\]$"):
        check((1, 8, 8), amplitude, 2.0)
