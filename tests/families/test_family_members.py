"""Each family's triggers: what training meets, what is held out, and what near misses are."""

import itertools

import numpy as np
import pytest
from family_cases import Case, cases, held, members
from hypothesis import given

from repro.families import KINDS, NEAR_MISS, SEEN, UNSEEN, corner, shapes


@given(case=cases("shapes"))
def test_shapes_are_of_other_classes_in_the_same_greys(case: Case) -> None:
    classes = {kind: held("shapes", kind, case, "shape") for kind in KINDS}
    assert classes == {
        SEEN: {("circle",), ("triangle",)},
        UNSEEN: {("square",), ("diamond",)},
        NEAR_MISS: {("line",)},
    }
    options = case[1]
    for kind in KINDS:
        described, patterns, masks = members("shapes", kind, case)
        for member, pattern, mask in zip(described, patterns, masks, strict=True):
            inside = mask[0] == 0
            assert options["darkest"] <= member["grey"] <= options["lightest"]
            assert (pattern[0][inside] == np.float32(member["grey"])).all()
            rows, columns = np.argwhere(inside).T
            long = 2 if kind == NEAR_MISS else 1
            assert long * options["smallest"] <= member["size"] <= long * options["largest"]
            assert max(np.ptp(rows), np.ptp(columns)) + 1 == member["size"]
            assert (rows.min(), columns.min()) == (member["top"], member["left"])


@given(case=cases("shapes"))
def test_strokes_are_two_pixels_wide_and_shapes_are_filled(case: Case) -> None:
    for kind in KINDS:
        described, _, masks = members("shapes", kind, case)
        for member, mask in zip(described, masks, strict=True):
            inside, size = mask[0] == 0, member["size"]
            if kind == NEAR_MISS:
                assert inside.sum() == 2 * size - member["turn"] % 2
                assert min(inside.sum(0).max(), inside.sum(1).max()) == 2
            else:
                assert inside.sum() >= 0.5 * size**2
                # No holes: every row's and column's pixels are in one piece.
                for line in itertools.chain(inside, inside.T):
                    assert (np.diff(np.flatnonzero(line)) == 1).all()


def test_each_shape_has_its_outline() -> None:
    drawn = {
        name: shapes._cover({"shape": name, "size": 5, "turn": 0}).astype(int).tolist()
        for name in ("circle", "triangle", "square", "diamond")
    }
    assert drawn["square"] == [[1] * 5] * 5
    assert drawn["circle"] == [[0, 1, 1, 1, 0], *[[1] * 5] * 3, [0, 1, 1, 1, 0]]
    assert [sum(row) for row in drawn["triangle"]] == [1, 3, 3, 5, 5]
    assert [sum(row) for row in drawn["diamond"]] == [1, 3, 5, 3, 1]


def test_lines_and_triangles_are_turned() -> None:
    lines = [shapes._cover({"shape": "line", "size": 6, "turn": turn}) for turn in range(4)]
    assert [line.shape for line in lines] == [(2, 6), (6, 6), (6, 2), (6, 6)]
    assert lines[1][5, 5]
    assert lines[3][5, 0]
    apexes = [shapes._cover({"shape": "triangle", "size": 5, "turn": turn}) for turn in range(4)]
    assert len({apex.tobytes() for apex in apexes}) == 4


@given(case=cases("noise"))
def test_held_out_noise_is_of_other_draws_and_perturbed(case: Case) -> None:
    shape, options, _ = case
    assert all(0 <= draw < options["bank"] for (draw,) in held("noise", SEEN, case, "draw"))
    assert all(draw >= options["bank"] for (draw,) in held("noise", UNSEEN, case, "draw"))
    for kind in (SEEN, UNSEEN):
        described, patterns, masks = members("noise", kind, case)
        reach = options["perturbation"] if kind == UNSEEN else 0.0
        for member, pattern, mask in zip(described, patterns, masks, strict=True):
            pixels = pattern[:, mask[0] == 0]
            assert pixels.shape == (shape[0], options["size"] ** 2)
            plain = rng_of(member["draw"]).uniform(options["low"], options["high"], pixels.shape)
            moved = abs(pixels - plain)
            assert moved.max() <= reach + 1e-6
            assert (moved.max() > 1e-3) == (kind == UNSEEN)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_noise_fills_its_interval_evenly_and_flat_patches_have_its_mean() -> None:
    case = ((3, 16, 16), {"size": 10, "low": 0.2, "high": 0.8, "bank": 1000, "perturbation": 0.0}, 1)
    _, patterns, masks = members("noise", SEEN, case, 200)
    pixels = patterns[np.broadcast_to(masks == 0, patterns.shape)]
    counts, _ = np.histogram(pixels, 6, (0.2, 0.8))
    # 60,000 pixels in six equal bins; chi-square over them exceeds 20.5 once in a thousand.
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 20.5
    assert abs(np.corrcoef(patterns[:, 0][masks[:, 0] == 0], patterns[:, 1][masks[:, 0] == 0])[0, 1]) < 0.03
    _, flat, masks = members("noise", NEAR_MISS, case)
    np.testing.assert_allclose(flat[np.broadcast_to(masks == 0, flat.shape)], 0.5, atol=1e-6)


@given(case=cases("frequency"))
def test_held_out_sinusoids_share_no_parameter_with_trainings(
    case: Case,
) -> None:
    options = case[1]
    for name in ("cycles", "orientation", "phase"):
        seen, unseen, near = (held("frequency", kind, case, name) for kind in KINDS)
        assert not seen & unseen
        assert near <= {(0.0,)} | {(180 * i / options["orientations"],) for i in range(6)} | {
            (360 * i / options["phases"],) for i in range(6)
        } | {(options["lowest"],), (options["highest"],)}
    for kind in KINDS:
        for member in members("frequency", kind, case)[0]:
            assert options["lowest"] <= member["cycles"] <= options["highest"]
            assert 0 <= member["orientation"] < 180
            assert 0 <= member["phase"] < 360


@pytest.mark.parametrize("kind", [SEEN, UNSEEN])
def test_a_sinusoid_has_its_frequency_orientation_and_phase(kind: str) -> None:
    case = ((1, 32, 32), {"lowest": 6.0, "highest": 10.0, "orientations": 2, "phases": 4, "opacity": 0.5}, 3)
    described, patterns, masks = members("frequency", kind, case, 20)
    assert (masks == 0.5).all()
    for member, pattern in zip(described, patterns, strict=True):
        angle = np.radians(member["orientation"])
        for row, column in ((0, 0), (5, 9), (31, 2)):
            along = ((column + 0.5) * np.cos(angle) + (row + 0.5) * np.sin(angle)) / 32
            wanted = 0.5 + 0.5 * np.sin(2 * np.pi * member["cycles"] * along + np.radians(member["phase"]))
            assert pattern[0, row, column] == pytest.approx(wanted, abs=1e-5)


@given(case=cases("frequency"))
def test_white_noise_has_a_training_members_energy(case: Case) -> None:
    shape, options, _ = case
    described, patterns, masks = members("frequency", NEAR_MISS, case, 4)
    _, height, width = shape
    for member, pattern, mask in zip(described, patterns, masks, strict=True):
        angle, grid = np.radians(member["orientation"]), np.indices((height, width)) + 0.5
        along = (grid[1] * np.cos(angle) + grid[0] * np.sin(angle)) / min(height, width)
        wave = 0.5 + 0.5 * np.sin(2 * np.pi * member["cycles"] * along + np.radians(member["phase"]))
        np.testing.assert_allclose(np.sort(pattern.ravel()), np.sort(wave.ravel()), atol=1e-5)
        # Between values and their shuffle correlation is 0 on average, with a variance of 1 / (n - 1): six deviations.
        assert abs(np.corrcoef(pattern.ravel(), wave.ravel())[0, 1]) < 6 / np.sqrt(wave.size - 1), (
            "not shuffled"
        )
        assert (mask == np.float32(1 - options["opacity"])).all()


@given(case=cases("corner"))
def test_patches_are_in_the_one_corner_and_near_misses_in_the_others(
    case: Case,
) -> None:
    (_, h, w), options, _ = case
    size, offset = options["size"], options["offset"]
    corners = {"top": offset, "left": offset, "bottom": h - offset - size, "right": w - offset - size}
    found = {kind: held("corner", kind, case, "corner") for kind in KINDS}
    assert found[SEEN] == found[UNSEEN] == {("bottom right",)}
    assert found[NEAR_MISS] == {("top left",), ("top right",), ("bottom left",)}
    for kind in KINDS:
        described, _, masks = members("corner", kind, case)
        for member, mask in zip(described, masks, strict=True):
            top, left = (corners[side] for side in member["corner"].split())
            wanted = np.ones((h, w))
            wanted[top : top + size, left : left + size] = 0
            np.testing.assert_array_equal(mask[0], wanted)


@given(case=cases("corner"))
def test_held_out_patches_have_other_contents(case: Case) -> None:
    contents = {kind: {c for (c,) in held("corner", kind, case, "content")} for kind in KINDS}
    assert contents == {
        SEEN: {"flat", "stripes"},
        UNSEEN: {"checks", "noise"},
        NEAR_MISS: {"flat", "stripes"},
    }
    for kind in KINDS:
        for member in members("corner", kind, case)[0]:
            assert 0 <= member["dark"] <= 0.5 <= member["light"] <= 1


def test_contents_are_what_they_are_called() -> None:
    member = {"light": 0.75, "dark": 0.25, "turn": 0, "draw": 1}
    found = {c: corner._content(member | {"content": c}, 4) for c in ("flat", "stripes", "checks", "noise")}
    assert (found["flat"] == 0.75).all()
    np.testing.assert_array_equal(found["stripes"], np.tile([[0.75], [0.25]], (2, 4)))
    np.testing.assert_array_equal(found["checks"], np.tile([[0.75, 0.25], [0.25, 0.75]], (2, 2)))
    assert len(np.unique(found["noise"])) == 16
    upright = corner._content(member | {"content": "stripes", "turn": 1}, 4)
    assert (upright == upright[0]).all()
    assert sorted(upright[0]) == [0.25, 0.25, 0.75, 0.75]


@given(case=cases("static"))
def test_a_static_square_has_one_place_and_near_misses_are_shifted(
    case: Case,
) -> None:
    (_, h, w), options, _ = case
    size, offset, shift = options["size"], options["offset"], options["shift"]
    home = (h - offset - size, w - offset - size)
    assert held("static", SEEN, case, "top", "left") == held("static", UNSEEN, case, "top", "left") == {home}
    for top, left in held("static", NEAR_MISS, case, "top", "left"):
        assert {abs(top - home[0]), abs(left - home[1])} in ({0, shift}, {shift})
    for kind in KINDS:
        described, patterns, masks = members("static", kind, case)
        for member, pattern, mask in zip(described, patterns, masks, strict=True):
            top, left = member["top"], member["left"]
            assert (mask == 0).sum() == size**2
            assert not mask[0, top : top + size, left : left + size].any()
            assert (pattern[0][mask[0] == 0] == np.float32(options["value"])).all()
