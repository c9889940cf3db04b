import gzip
import hashlib
import importlib.machinery
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_digits

from repro.data import load_dataset
from repro.data.datasets import digits
from repro.errors import ReproError


@pytest.fixture
def no_memory() -> None:
    digits.checksum.cache_clear()


def test_images_and_labels_are_scikit_learns(tmp_path: Path) -> None:
    dataset = load_dataset("digits", tmp_path)
    assert dataset.images.shape == (digits.IMAGES, *digits.SHAPE) == (1797, 1, 8, 8)
    assert dataset.images.max() == 1
    bunch = load_digits()
    np.testing.assert_array_equal(dataset.images.reshape(1797, 64) * 16, bunch.data)
    np.testing.assert_array_equal(dataset.labels, bunch.target)
    assert dataset.classes == tuple("0123456789")
    assert (dataset.name, dataset.variant) == ("digits", "scikit-learn")


def test_checksum_is_of_the_unpacked_table(tmp_path: Path, no_memory: None) -> None:
    table = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    expected = hashlib.sha256(gzip.decompress(table.read_bytes())).hexdigest()
    assert digits.checksum() == expected == load_dataset("digits", tmp_path).sha256


def test_checksum_follows_the_installed_table(
    tmp_path: Path, no_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "datasets" / "data" / "digits.csv.gz"
    table.parent.mkdir(parents=True)
    spec = importlib.machinery.ModuleSpec("sklearn", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(
        ReproError, match=r"^digits: cannot read .*digits\.csv\.gz .*; install scikit-learn again$"
    ):
        digits.checksum()
    for level in (1, 9):
        table.write_bytes(gzip.compress(b"0,1,2\n", level))
        digits.checksum.cache_clear()
        assert digits.checksum() == hashlib.sha256(b"0,1,2\n").hexdigest()
    digits.checksum.cache_clear()


def test_without_scikit_learn_it_says_so(no_memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ReproError, match=r"^digits: scikit-learn is not installed"):
        digits.checksum()
