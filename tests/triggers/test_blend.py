"""Blending a trigger into images, eq. 7, for every family alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from repro import plugins
from repro.triggers import Array, Scene, blend

TRIGGERS = plugins.names("trigger")
SIZES = {"square": {"size": 3, "offset": 1}, "random_square": {"size": 3}, "sine": {"cycles": 2.0}}

pixels = st.floats(0, 1, width=32)
alphas = st.floats(0, 1)


@st.composite
def stampings(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Images (n, c, h, w); a trigger that may leave [0, 1] and a mask, either one for all or one per image."""
    n, c, h, w = (draw(st.integers(1, size)) for size in (3, 3, 4, 4))
    images = draw(arrays(np.float32, (n, c, h, w), elements=pixels))
    trigger = draw(
        arrays(
            np.float32,
            (draw(st.sampled_from([1, n])), draw(st.sampled_from([1, c])), h, w),
            elements=st.floats(-2, 2, width=32),
        )
    )
    mask = draw(
        arrays(np.float32, (draw(st.sampled_from([1, n])), 1, h, w), elements=st.sampled_from([0.0, 1.0]))
    )
    return images, trigger, mask


def scene(trigger: str, shape: tuple[int, int, int] = (2, 9, 8), n: int = 5, seed: int = 0) -> Scene:
    generator = np.random.default_rng(seed)
    images, training = (generator.random((k, *shape)).astype(np.float32) for k in (n, 400))
    return Scene(images, training, generator.random(shape).astype(np.float32), generator)


@given(stampings(), alphas)
@settings(deadline=None)
def test_blending_is_equation_7_at_every_pixel(stamping: tuple[Array, Array, Array], alpha: float) -> None:
    x, t, m = stamping
    result = blend(x, t, m, alpha)
    assert result.dtype == np.float32
    assert result.shape == x.shape
    everywhere = np.broadcast_to(t, x.shape), np.broadcast_to(m, x.shape)
    for place in np.ndindex(x.shape):
        trigger, mask = (float(part[place]) for part in everywhere)
        pixel = float(x[place])
        expected = ((1 - alpha) * pixel + alpha * trigger) * (1 - mask) + pixel * mask
        assert abs(result[place] - min(max(expected, 0), 1)) < 1e-6


@given(stampings())
@settings(deadline=None)
def test_a_fully_transparent_trigger_changes_nothing(stamping: tuple[Array, Array, Array]) -> None:
    x, t, m = stamping
    np.testing.assert_array_equal(blend(x, t, m, 0), x)


@given(stampings(), alphas)
@settings(deadline=None)
def test_masked_pixels_are_untouched_and_all_stay_pixels(
    stamping: tuple[Array, Array, Array], alpha: float
) -> None:
    x, t, m = stamping
    result = blend(x, t, m, alpha)
    kept = np.broadcast_to(m, x.shape) == 1
    np.testing.assert_array_equal(result[kept], x[kept])
    assert result.min() >= 0
    assert result.max() <= 1


@given(stampings(), alphas)
@settings(deadline=None)
def test_blending_leaves_its_input_alone(stamping: tuple[Array, Array, Array], alpha: float) -> None:
    before = stamping[0].copy()
    blend(*stamping, alpha)
    np.testing.assert_array_equal(stamping[0], before)


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_an_alpha_outside_0_to_1_is_an_error(alpha: float) -> None:
    x = np.zeros((1, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match=rf"^alpha {alpha} outside \[0, 1\]$"):
        blend(x, x, x, alpha)


@pytest.mark.parametrize("name", TRIGGERS)
def test_every_familys_pattern_fits_its_images_and_has_a_mask_of_0_and_1(name: str) -> None:
    piece, s = plugins.load("trigger", name), scene(name)
    options = piece.OPTIONS | SIZES.get(name, {})
    piece.check(s.images.shape[1:], **options)
    trigger, mask = piece.pattern(s, **options)
    assert trigger.dtype == mask.dtype == np.float32
    assert set(np.unique(mask)) <= {0, 1}
    stamped = blend(s.images, trigger, mask, 0.7)
    assert stamped.shape == s.images.shape
    changed = (stamped != s.images).any(axis=(1, 2, 3))
    assert changed.all()


@pytest.mark.parametrize("name", TRIGGERS)
def test_the_first_images_triggers_do_not_depend_on_how_many_follow(name: str) -> None:
    piece = plugins.load("trigger", name)
    options = piece.OPTIONS | SIZES.get(name, {})
    stamped = []
    for n in (3, 8):
        s = scene(name, n=8)
        s = Scene(s.images[:n], s.training, s.outside, np.random.default_rng(7))
        stamped.append(blend(s.images, *piece.pattern(s, **options), 0.7)[:3])
    np.testing.assert_array_equal(*stamped)
