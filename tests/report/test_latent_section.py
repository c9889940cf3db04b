"""The section on autoencoders' latent spaces: its tables, and the paths shown as pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from section_reading import cells, column, drawn_by, paired, plus_minus, shown

from repro.errors import ReproError
from repro.harness.evidence.table import Row
from repro.papers.desanctis.experiments.latent import pictures as latent_pictures

UNITS = 5
CONDITIONS = (("clean", 0.0), ("poisoned", 0.1), ("poisoned", 0.4))
FIGURES = (
    "latent_auc",
    "traversal_overlap",
    "interpolation_trigger",
    "pixel_interpolation",
    "trigger_drawn",
    "reconstruction",
)


def picture(seed: int) -> str:
    draw = np.random.default_rng(seed)
    return "x" + " ".join(bytes(draw.integers(0, 256, 64, dtype=np.uint8)).hex() for _ in range(8))


def made(pictured: int = 2) -> list[Row]:
    draw = np.random.default_rng(5)
    return [
        {
            "run": f"r{at}{u}x",
            "phase": "trained",
            "unit": f"u{u:03d}",
            "partition_seed": u + 1,
            "seed": u + 1,
            "poison_class": u,
            "training": training,
            "poison_rate": rate,
            "trigger": "square",
            "latent": 8,
            **{name: float(draw.uniform(0.1, 0.9)) for name in FIGURES},
            "mask_share": 9 / 64,
            "active": 8,
            "epochs": 50,
            "interpolation_images": picture(10 * at + u) if u < pictured else None,
            "traversal_images": picture(100 + 10 * at + u) if u < pictured else None,
        }
        for at, (training, rate) in enumerate(CONDITIONS)
        for u in range(UNITS)
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    return tmp_path


def test_figures_by_training_set_and_their_paired_differences(root: Path) -> None:
    rows = made(pictured=0)
    text, report = shown(root, "latent", rows)
    found = cells(text, "from the same initial weights", 1)
    labels = ["Clean", "Poisoned, rate 0.1", "Poisoned, rate 0.4"]
    assert list(found) == [(label,) for label in labels]
    for label, (training, rate) in zip(labels, CONDITIONS, strict=True):
        own = {"training": training, "poison_rate": rate}
        assert found[label,] == [
            plus_minus(column(rows, name, **own), 4 if name == "reconstruction" else 2) for name in FIGURES
        ]
    less = cells(text, "**Poisoned less clean**", 1)
    clean = {"training": "clean", "poison_rate": 0.0}
    for rate in (0.1, 0.4):
        poisoned = {"training": "poisoned", "poison_rate": rate}
        assert less[f"{rate}",] == [paired(rows, name, poisoned, clean) for name in FIGURES[:-1]]
    assert "which is 0.14 of the image" in text
    assert not report.pictures


def test_paths_are_shown_a_row_a_unit_and_training_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made()
    figure = drawn_by(monkeypatch, root, "latent", rows)
    axes = np.array(figure.axes).reshape(6, 17)
    order = [row for u in range(2) for row in rows if row["unit"] == f"u{u:03d}"]
    for line, row in zip(axes, order, strict=True):
        rate = f", rate {row['poison_rate']:g}" if row["training"] == "poisoned" else ""
        assert line[0].get_ylabel() == f"{row['unit']}, class {row['poison_class']}\n{row['training']}{rate}"
        for start, name in ((0, "interpolation_images"), (9, "traversal_images")):
            wanted = [bytes.fromhex(text) for text in str(row[name])[1:].split(" ")]
            images = [np.asarray(axis.get_images()[0].get_array()) for axis in line[start : start + 8]]
            assert [image.astype(np.uint8).tobytes() for image in images] == wanted
        assert not line[8].get_images()
    titles = [[text.get_text() for text in axes[0, at].texts] for at in (0, 9)]
    assert titles == [[words] for words in latent_pictures.COLUMNS.values()]


def test_the_picture_stands_in_the_section(root: Path) -> None:
    text, report = shown(root, "latent", made(pictured=1))
    assert "figures/latent-paths.png" in text
    assert report.pictures["latent-paths"].content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("cell", "said"),
    [("x00ff", "has a picture of 2 values, not the 64"), ("xzz", "not hexadecimal")],
)
def test_a_cell_that_is_no_picture_is_named(cell: str, said: str) -> None:
    row: Row = {"unit": "u7", "traversal_images": cell}
    with pytest.raises(ReproError, match=f"'traversal_images' of unit u7 .*{said}"):
        latent_pictures.images(row, "traversal_images", (1, 8, 8))


def test_colour_is_read_rows_first() -> None:
    image: Any = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    row: Row = {"unit": "u0", "traversal_images": f"x{image.tobytes().hex()} {image[::-1].tobytes().hex()}"}
    first, second = latent_pictures.images(row, "traversal_images", (3, 2, 2))
    assert np.array_equal(first, image)
    assert np.array_equal(second, image[::-1])
