"""Pictures of bases, targets and poisons: pixels read back, one row per condition, and evidence without them."""

import io
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from synthetic_exposed import as_picture, with_pictures
from synthetic_rows import targeted, write_evidence

from repro.errors import ReproError
from repro.harness.evidence.table import Row, table
from repro.harness.profile import load_profile
from repro.papers.desanctis.experiments.targeted import pictures
from repro.report import contract, sections
from repro.report.report import Report

UNITS = 4


def shown(root: Path, rows: list[Row]) -> tuple[str, Report]:
    (root / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    write_evidence(root, "targeted", rows)
    report = Report(root, load_profile("digits", root))
    return "\n\n".join(sections.section_blocks(report, "targeted")), report


def undrawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Figures are kept instead of drawn, which takes longest."""
    kept: list[Any] = []

    def keep(figure: Any) -> bytes:
        kept.append(figure)
        return b""

    monkeypatch.setattr("repro.report.report.png", keep)
    return kept


def made(units: tuple[str, ...] = ("u000", "u001", "u002")) -> list[Row]:
    return with_pictures(targeted(np.random.default_rng(2), UNITS), units)


@given(
    st.tuples(*[st.integers(1, 4)] * 3).flatmap(lambda shape: arrays(np.uint8, shape)),
    st.booleans(),
)
def test_pixels_read_back_rows_first_with_or_without_the_letter(image: np.ndarray, letter: bool) -> None:
    height, width, channels = image.shape
    cell = as_picture(image / 255)
    row: Row = {"unit": "u0", "base_image": cell if letter else cell[1:]}
    assert np.array_equal(pictures.pixels(row, "base_image", (channels, height, width)), image)


@pytest.mark.parametrize(
    ("cell", "said"), [("x00ff", "has 2 values, not the 64"), ("xzz", "not hexadecimal")]
)
def test_a_cell_that_is_no_picture_is_named(cell: str, said: str) -> None:
    with pytest.raises(ReproError, match=f"'poison_image' of unit u7 .*{said}"):
        pictures.pixels({"unit": "u7", "poison_image": cell}, "poison_image", (1, 8, 8))


def test_only_rows_with_all_three_pictures_are_shown() -> None:
    rows = made()
    rows[0]["poison_image"] = None
    found = pictures.pictured(table(rows))
    assert {row["unit"] for row in found} == {"u000", "u001", "u002"}
    assert len(found) == sum(row["unit"] != "u003" for row in rows) - 1
    assert pictures.pictured(table(targeted(np.random.default_rng(2), 1))) == []


def dark(report: Report) -> np.ndarray:
    """Where the picture's pixels are black."""
    image = matplotlib.image.imread(io.BytesIO(report.pictures["targeted-images"].content))[..., :3]
    return (image < 0.02).all(axis=-1)


def test_a_row_a_condition_that_differs_in_more_than_the_defence(tmp_path: Path) -> None:
    text, report = shown(tmp_path, made())
    assert "figures/targeted-images.png" in text
    assert text.index("Where poisons lie") < text.index("targeted-images.png")
    rows = dark(report)
    # Every 8x8 picture has a border of black and a height of its own: bands of much black are the rows.
    bands = rows.mean(axis=1) > 0.15
    starts = np.flatnonzero(np.diff(np.concatenate([[False], bands]).astype(int)) == 1)
    lasting = [s for s in starts if bands[s : s + 40].all()]
    assert len(lasting) == 5, "frozen 1 and 5, end-to-end 1, 20 and 20 with watermark"


def test_each_condition_is_given_with_its_label_and_ratios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_: list[tuple[str, int]] = []
    drawn: list[list[str]] = []

    def spy(report: Report, conditions: list[tuple[str, object]]) -> list[str]:
        given_.extend((label, len(list(rows))) for label, rows in conditions)  # type: ignore[call-overload]
        return original(report, conditions)  # type: ignore[arg-type]

    def watched(axes: np.ndarray, row: Row, shape: tuple[int, int, int]) -> None:
        triple(axes, row, shape)
        drawn.append([axis.get_xlabel() for axis in axes])
        wanted = [f"class {row['base_class']}", f"class {row['target_class']}"]
        ratios = [
            f"{w} {float(str(row[c])):.2f}"
            for w, c in (("features", "feature_ratio"), ("pixels", "input_ratio"))
        ]
        assert drawn[-1] == [*wanted, "\n".join(ratios)]
        shown_ = [np.asarray(axis.get_images()[0].get_array()) for axis in axes]
        for image, column in zip(shown_, pictures.COLUMNS, strict=True):
            assert np.array_equal(image, pictures.pixels(row, column, shape)[..., 0])

    from repro.papers.desanctis.experiments.targeted import section

    original, triple = pictures.pictures, pictures._triple
    undrawn(monkeypatch)
    monkeypatch.setattr(section, "pictures", spy)
    monkeypatch.setattr(pictures, "_triple", watched)
    shown(tmp_path, made())
    assert given_ == [
        ("frozen\n1 poison", UNITS),
        ("frozen\n5 poisons", UNITS),
        ("end-to-end\n1 poison", UNITS),
        ("end-to-end\n20 poisons", UNITS),
        ("end-to-end\n20 poisons\nwatermark 0.3", UNITS),
    ]
    assert len(drawn) == 5 * 3


def test_one_unit_makes_a_narrower_picture_and_none_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = undrawn(monkeypatch)
    shown(tmp_path, made())
    shown(tmp_path, made(("u001",)))
    three, one = kept[1], kept[3]
    assert one.get_size_inches()[0] < 0.6 * three.get_size_inches()[0]
    text, none = shown(tmp_path, made(()))
    assert set(none.pictures) == {"targeted"}
    assert "enlarged" not in text
    text, none = shown(tmp_path, targeted(np.random.default_rng(2), UNITS))
    assert set(none.pictures) == {"targeted"}
    assert "**Success**" in text


def test_every_column_is_described() -> None:
    assert all(contract.meaning(name) for name in made()[0])
