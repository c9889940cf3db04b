"""What holds for every family: ranges, repeatability, what does not fit; and how triggers get onto images."""

from typing import Any

import numpy as np
import pytest
from family_cases import COUNT, FAMILIES, SEEDS, cases, members, rng
from hypothesis import given
from hypothesis import strategies as st

from repro import plugins
from repro.errors import ReproError
from repro.families import KINDS, NEAR_MISS, SEEN, prepared, stamp


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_members_are_patterns_and_masks_in_range(family: str, kind: str, data: st.DataObject) -> None:
    (channels, h, w), _, _ = case = data.draw(cases(family))
    described, patterns, masks = members(family, kind, case)
    assert len(described) == len(patterns) == len(masks) == COUNT
    assert patterns.shape[1] in (1, channels)
    assert patterns.shape[2:] == (h, w)
    assert masks.shape[1:] == (1, h, w)
    assert patterns.dtype == masks.dtype == np.float32
    for array in (patterns, masks):
        assert array.min() >= 0
        assert array.max() <= 1
    assert (masks < 1).any(axis=(1, 2, 3)).all(), "a member that changes nothing"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_the_first_members_depend_on_the_generator_alone(family: str, kind: str, data: st.DataObject) -> None:
    case = data.draw(cases(family))
    few, many = members(family, kind, case, 3), members(family, kind, case)
    assert few[0] == many[0][:3]
    for one, other in zip(few[1:], many[1:], strict=True):
        np.testing.assert_array_equal(one, other[:3])


@pytest.mark.parametrize("family", FAMILIES)
def test_another_generator_gives_other_members(family: str) -> None:
    options = plugins.options("family", family)
    for kind in KINDS:
        one, other = (members(family, kind, ((1, 16, 16), options, seed))[0] for seed in (1, 2))
        assert (one == other) == (family == "static" and kind != NEAR_MISS)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_members_at_all(family: str) -> None:
    options = plugins.options("family", family)
    described, patterns, masks = members(family, SEEN, ((1, 16, 16), options, 0), 0)
    assert described == []
    assert patterns.shape == masks.shape == (0, 1, 16, 16)


TOO_MUCH = [
    ("shapes", {"smallest": 3}, "at least 4 are needed"),
    ("shapes", {"smallest": 7, "largest": 6}, "smallest first"),
    ("shapes", {"largest": 9}, "shapes of 9 pixels, .* do not fit an image of 16x17"),
    ("shapes", {"darkest": 0.9, "lightest": 0.8}, "greys 0.9 to 0.8 are not an interval"),
    ("shapes", {"lightest": 1.1}, "within"),
    ("noise", {"size": 17}, "17 pixels does not fit an image of 16x17"),
    ("noise", {"size": 1}, "is too small"),
    ("noise", {"low": 0.5, "high": 0.5}, "from 0.5 to 0.5"),
    ("noise", {"high": 1.5}, "within"),
    ("noise", {"bank": 0}, "bank of 0"),
    ("noise", {"perturbation": 1.1}, "perturbation 1.1"),
    ("frequency", {"highest": 8.0}, "more than 16x17 pixels"),
    ("frequency", {"highest": 8.5}, "more than 16x17 pixels"),
    ("frequency", {"lowest": 6.0, "highest": 6.0}, "a band of 6.0 to 6.0"),
    ("frequency", {"lowest": 0.0}, "a band of 0.0"),
    ("frequency", {"orientations": 0}, "0 orientations"),
    ("frequency", {"phases": 0}, "0 phases"),
    ("frequency", {"opacity": 0.0}, "opacity 0.0"),
    ("frequency", {"opacity": 1.5}, "opacity 1.5"),
    ("corner", {"size": 9}, "9 pixels, .* quarter of an image of 16x17"),
    ("corner", {"size": 6, "offset": 3}, "6 pixels, 3 from the edges"),
    ("corner", {"size": 1}, "is too small"),
    ("corner", {"offset": -1}, "-1 from"),
    ("static", {"size": 13}, "13 pixels"),
    ("static", {"offset": 1}, "room to be shifted by 2"),
    ("static", {"shift": 0}, "shifted by 0"),
    ("static", {"size": 0}, "0 pixels"),
    ("static", {"value": 1.5}, "value 1.5"),
]


@pytest.mark.parametrize(("family", "changed", "words"), TOO_MUCH)
def test_what_does_not_fit_is_an_error_in_one_line(family: str, changed: dict[str, Any], words: str) -> None:
    piece = plugins.load("family", family)
    with pytest.raises(ReproError, match=words) as caught:
        piece.check((1, 16, 17), **(piece.OPTIONS | changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_largest_that_fit_are_no_error(family: str) -> None:
    largest: dict[str, dict[str, Any]] = {
        "shapes": {"largest": 8},
        "noise": {"size": 16},
        "frequency": {"highest": 7.99},
        "corner": {"size": 8},
        "static": {"size": 12},
    }
    piece = plugins.load("family", family)
    options = piece.OPTIONS | largest[family]
    piece.check((1, 16, 17), **options)
    for kind in KINDS:
        piece.draw(kind, 20, (1, 16, 17), rng(0), **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_three_kinds_of_members(family: str) -> None:
    piece = plugins.load("family", family)
    with pytest.raises(ValueError, match="unknown kind of member 'other': there are seen, unseen, near_miss"):
        piece.draw("other", 1, (1, 16, 16), rng(0), **piece.OPTIONS)


def test_images_are_enlarged_pixel_by_pixel_and_dimmed() -> None:
    images = rng(0).uniform(0, 1, (3, 2, 4, 5)).astype(np.float32)
    larger = prepared(images, 3, 0.5)
    assert larger.shape == (3, 2, 12, 15)
    assert larger.dtype == np.float32
    for row, column in ((0, 0), (2, 14), (11, 7)):
        np.testing.assert_allclose(larger[..., row, column], 0.5 * images[..., row // 3, column // 3])
    np.testing.assert_array_equal(prepared(images, 1, 1.0), images)
    for enlarge, ink in ((0, 1.0), (1, 0.0), (1, 1.1)):
        with pytest.raises(ValueError, match="enlarge"):
            prepared(images, enlarge, ink)


@given(SEEDS)
def test_stamping_is_eq_7_and_leaves_alone_what_the_mask_says(seed: int) -> None:
    draw = rng(seed)
    images, patterns = (draw.uniform(0, 1, (4, c, 5, 6)).astype(np.float32) for c in (3, 1))
    masks = draw.choice([0, 0.25, 1], (4, 1, 5, 6)).astype(np.float32)
    stamped = stamp(images, patterns, masks)
    assert stamped.dtype == np.float32
    np.testing.assert_allclose(stamped, images * masks + patterns * (1 - masks), atol=1e-6)
    kept = np.broadcast_to(masks == 1, images.shape)
    np.testing.assert_array_equal(stamped[kept], images[kept])
