import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repro import plugins
from repro.data import Dataset, dataset_piece, describe, load_dataset, seeded_generator
from repro.data.datasets import Facts
from repro.errors import ReproError


def made(**changed: Any) -> Dataset:
    given = {
        "name": "toy",
        "variant": "made up",
        "images": np.full((4, 1, 2, 2), 0.5, np.float32),
        "labels": np.array([0, 1, 1, 0]),
        "classes": ("a", "b"),
        "sha256": "0" * 64,
    }
    return Dataset(**(given | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"images": np.zeros((4, 1, 2, 2))},
            r"^toy: images are float64 \(4, 1, 2, 2\), not float32 \(n, c, h, w\)$",
        ),
        ({"images": np.zeros((4, 2, 2), np.float32)}, r"^toy: images are float32 \(4, 2, 2\), not"),
        ({"labels": np.zeros(4, np.int32)}, r"^toy: labels are int32 \(4,\), not int64"),
        ({"labels": np.zeros(3, np.int64)}, "^toy: 4 images but 3 labels$"),
        ({"images": np.full((4, 1, 2, 2), 2, np.float32)}, r"^toy: images reach from 2.0 to 2.0, not within"),
        ({"images": np.full((4, 1, 2, 2), np.nan, np.float32)}, "^toy: images reach from nan"),
        ({"labels": np.array([0, 1, 2, 0])}, "^toy: labels reach from 0 to 2, but there are 2 classes$"),
        ({"labels": np.array([0, -1, 1, 0])}, "^toy: labels reach from -1 to 1"),
        ({"images": np.zeros((0, 1, 2, 2), np.float32), "labels": np.zeros(0, np.int64)}, "^toy: no images$"),
    ],
)
def test_an_ill_formed_dataset_is_refused(changed: dict[str, Any], message: str) -> None:
    assert len(made()) == 4
    with pytest.raises(ReproError, match=message):
        made(**changed)


@pytest.mark.parametrize("limit", [0, -3, 1798])
def test_a_limit_out_of_range_is_refused(limit: int, tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=f"^digits: limit is {limit}, must be from 1 to its 1797 images$"):
        load_dataset("digits", tmp_path, limit=limit)


def test_a_slice_is_the_documented_permutation_and_says_so(tmp_path: Path) -> None:
    whole, part = load_dataset("digits", tmp_path), load_dataset("digits", tmp_path, limit=300)
    order = seeded_generator("limit/digits").permutation(1797)[:300]
    np.testing.assert_array_equal(part.images, whole.images[order])
    np.testing.assert_array_equal(part.labels, whole.labels[order])
    assert part.variant == "scikit-learn, 300 of 1797 images"
    assert part.sha256 == whole.sha256


def test_smaller_slices_are_prefixes_of_larger_ones(tmp_path: Path) -> None:
    small, large = (load_dataset("digits", tmp_path, limit=k) for k in (40, 1797))
    np.testing.assert_array_equal(small.images, large.images[:40])


def test_an_unknown_dataset_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"^unknown dataset 'nist': there are .*digits.*mnist"):
        load_dataset("nist", tmp_path)


@pytest.mark.parametrize("name", [n for n in plugins.names("dataset") if n != "class_folders"])
def test_every_piece_keeps_the_contract(name: str, tmp_path: Path) -> None:
    piece, facts = dataset_piece(name), describe(name, root=tmp_path)
    assert plugins.title("dataset", name)
    assert facts == Facts(piece.SHAPE, piece.CLASSES, piece.IMAGES, piece.checksum())
    assert len(facts.shape) == 3
    assert len(facts.classes) > 1
    assert facts.images > 0
    assert len(facts.checksum) == 64
    assert not (tmp_path / "data").exists(), "nothing is fetched or made to answer"
    for file in piece.FILES:
        assert len(file.sha256) == 64
        assert len(file.sources) >= 2 or (not file.sources and file.mirror_folder == "")
        assert all(source.startswith("https://") for source in file.sources)
        assert file.path in (file.name, f"{file.name}.gz")


@pytest.mark.parametrize("call", [describe, lambda name, options, root: load_dataset(name, root, 5, options)])
def test_an_option_that_a_dataset_does_not_have_is_refused(call: Any, tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"^digits: no option 'size' \(known: none\)$"):
        call("digits", {"size": 8}, tmp_path)
    with pytest.raises(ReproError, match=r"^flowers224: no option 'sise' \(known: size\)$"):
        call("flowers224", {"sise": 8}, tmp_path)


def test_streams_of_different_labels_differ() -> None:
    assert seeded_generator("a").integers(2**60) != seeded_generator("b").integers(2**60)
    assert seeded_generator("a").integers(2**60) == seeded_generator("a").integers(2**60)


def test_no_torch_is_imported_for_data() -> None:
    code = """
import sys
from pathlib import Path
from repro import plugins
import repro.data.fetch, repro.data.archive, repro.data.partition
for name in plugins.names("dataset"):
    if hasattr(plugins.load("dataset", name), "SHAPE"):
        repro.data.describe(name)
for heavy in ("sklearn", "PIL"):
    assert heavy not in sys.modules, heavy
repro.data.load_dataset("digits", Path("."))
assert "torch" not in sys.modules, "torch"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
