"""The picture of the triggers on colour images as large as the paper's, and classes by their names."""

import io
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from synthetic_rows import regularisers, write_evidence

from repro.data import Dataset
from repro.errors import ReproError
from repro.harness.profile import DataSettings, load_profile
from repro.papers.truong2020 import trigger_pictures
from repro.papers.truong2020.experiments.regularisers.figures import class_name
from repro.report.report import Report

FLOWERS = ("daisy", "dandelion", "rose", "sunflower", "tulip")


@pytest.fixture
def report(tmp_path: Path) -> Report:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    profile = load_profile("digits", tmp_path)
    given = ({"size": 22, "offset": 22, "value": 0.0}, {"size": 22, "value": 0.0}, {}, {})
    triggers = {
        name: settings.model_copy(update={"options": options})
        for (name, settings), options in zip(profile.triggers.items(), given, strict=True)
    }
    data = DataSettings(name="flowers224")
    return Report(tmp_path, profile.model_copy(update={"data": data, "triggers": triggers}))


def colour_images(name: str, root: Path, limit: int | None = None, options: object = None) -> Dataset:
    """Forty images of pure red, 3 x 224 x 224, with a little noise for the principal components."""
    draw = np.random.default_rng(0)
    images = draw.uniform(0, 0.05, size=(40, 3, 224, 224)).astype(np.float32)
    images[:, 0] += 0.9
    return Dataset(name, "synthetic", images, np.arange(40) % 5, FLOWERS, "0")


def test_colour_images_keep_their_colour_and_a_black_square_is_black(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger_pictures, "load_dataset", colour_images)
    blocks = trigger_pictures.blocks(report)
    assert "figures/triggers.png" in blocks[0]
    pixels = matplotlib.image.imread(io.BytesIO(report.pictures["triggers"].content))[..., :3]
    half, quarter = pixels.shape[0] // 2, pixels.shape[1] // 4
    original, poisoned = (inside_red(part) for part in (pixels[:half, :quarter], pixels[half:, :quarter]))
    assert min(original.shape[:2]) > 150
    assert share_of_red(original) > 0.995
    assert 1 - share_of_red(poisoned) == pytest.approx((22 / 224) ** 2, rel=0.25)
    assert (poisoned < 0.1).all(axis=-1).mean() == pytest.approx((22 / 224) ** 2, rel=0.25), "not black"


def test_of_many_large_images_only_some_are_loaded_and_that_is_said(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counting(name: str, root: Path, limit: int | None = None, options: object = None) -> Dataset:
        asked.append(limit)
        return colour_images(name, root)

    monkeypatch.setattr(trigger_pictures, "load_dataset", counting)
    assert "Drawn from 664 of the 3,000 images." in trigger_pictures.blocks(report)[1]
    small = DataSettings(name="flowers224", limit=100)
    whole = Report(report.root, report.profile.model_copy(update={"data": small}))
    assert "Drawn from" not in trigger_pictures.blocks(whole)[1]
    assert asked == [664, 100]


def is_red(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0] > 0.85) & (pixels[..., 1:] < 0.1).all(axis=-1)


def inside_red(pixels: np.ndarray) -> np.ndarray:
    """The smallest rectangle that holds everything red."""
    rows, columns = (np.flatnonzero(is_red(pixels).any(axis=axis)) for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def share_of_red(pixels: np.ndarray) -> float:
    return float(is_red(pixels).mean())


def test_data_that_cannot_be_loaded_are_said_and_no_picture_is_made(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> Dataset:
        raise ReproError("flowers224: not fetched")

    monkeypatch.setattr(trigger_pictures, "load_dataset", missing)
    assert trigger_pictures.blocks(report) == ["*No picture of the triggers: flowers224: not fetched.*"]
    assert not report.pictures


def test_poison_classes_are_called_by_their_names(report: Report) -> None:
    assert [class_name(report, c) for c in range(5)] == list(FLOWERS)
    assert class_name(report, 7) == "7"
    assert class_name(report, "rose") == "rose"


def test_heat_maps_of_classes_with_names_differ_from_those_with_numbers(report: Report) -> None:
    from repro.report.sections import section_blocks

    rows = regularisers(np.random.default_rng(1), 5)
    write_evidence(report.root, "regularisers", rows)
    named = report
    section_blocks(named, "regularisers")
    digits = Report(report.root, load_profile("digits", report.root))
    section_blocks(digits, "regularisers")
    heat, box = "regularisers-early-stopped", "regularisers-spread"
    assert named.pictures[heat].content != digits.pictures[heat].content
    assert named.pictures[box].content == digits.pictures[box].content
