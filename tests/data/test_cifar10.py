import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from miniature_folders import tar_of

from repro.data import load_dataset, raw_folder, seeded_generator
from repro.data.datasets import cifar10
from repro.data.fetch import fetch
from repro.errors import ReproError

NAME = "cifar-10-binary.tar.gz"
PER_BATCH = 4


def batches() -> dict[str, bytes]:
    """Six batches of random records, by their names in the archive."""
    draw = np.random.default_rng(0)
    made = {}
    for name in cifar10.BATCHES:
        records = draw.integers(0, 256, (PER_BATCH, 3073)).astype(np.uint8)
        records[:, 0] = draw.integers(0, 10, PER_BATCH)
        made[f"cifar-10-batches-bin/{name}"] = records.tobytes()
    return made


def fetched(files: dict[str, bytes], root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fetch an archive of ``files`` as if it were the pinned one; returns where it lies."""
    content = tar_of(root / "mirror" / "cifar10" / NAME, files, "w:gz").read_bytes()
    pinned = replace(
        cifar10.FILES[0], sha256=hashlib.sha256(content).hexdigest(), size=len(content), sources=()
    )
    monkeypatch.setattr(cifar10, "FILES", (pinned,))
    monkeypatch.setattr(cifar10, "IMAGES", 6 * PER_BATCH)
    fetch("cifar10", root, str(root / "mirror"), lambda line: None)
    return raw_folder(root, "cifar10") / NAME


def test_training_batches_come_first_whatever_the_archives_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = batches()
    about = {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"}
    fetched(about | dict(reversed(files.items())), tmp_path, monkeypatch)
    dataset = load_dataset("cifar10", tmp_path)
    whole = b"".join(files[f"cifar-10-batches-bin/data_batch_{k}.bin"] for k in (1, 2, 3, 4, 5))
    whole += files["cifar-10-batches-bin/test_batch.bin"]
    for row in range(24):
        record = whole[3073 * row : 3073 * (row + 1)]
        assert dataset.labels[row] == record[0]
        planes = np.rint(dataset.images[row] * 255).astype(np.uint8)
        assert planes.tobytes() == record[1:]
    assert (dataset.name, dataset.variant) == ("cifar10", "binary")
    assert dataset.sha256 == cifar10.FILES[0].sha256


def test_a_slice_is_rows_of_the_whole_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched(batches(), tmp_path, monkeypatch)
    whole, part = load_dataset("cifar10", tmp_path), load_dataset("cifar10", tmp_path, 7)
    order = seeded_generator("limit/cifar10").permutation(24)[:7]
    assert part.images.tobytes() == whole.images[order].tobytes()
    assert part.labels.tobytes() == whole.labels[order].tobytes()
    assert part.variant == "binary, 7 of 24 images"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "test_batch.bin",
            lambda c: c[:-1],
            "test_batch.bin: truncated, 12291 bytes where 4 records of 3073 mean",
        ),
        (
            "data_batch_3.bin",
            lambda c: c + b"1",
            "data_batch_3.bin: too long, 12293 bytes where 4 records of",
        ),
        (
            "data_batch_2.bin",
            lambda c: c[:3073] + b"\x0a" + c[3074:],
            "data_batch_2.bin: record 1 has label 10, must be from 0 to 9",
        ),
        ("data_batch_5.bin", None, "data_batch_5.bin is not in it"),
    ],
)
def test_what_is_not_the_published_layout_is_refused(
    name: str, change, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, path = batches(), f"cifar-10-batches-bin/{name}"
    if change is None:
        del files[path]
    else:
        files[path] = change(files[path])
    with pytest.raises(ReproError) as caught:
        fetched(files, tmp_path, monkeypatch)
    assert f"{NAME}: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(raw_folder(tmp_path, "cifar10").glob("decoded*"))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2 * 3073 - 1))
def test_a_batch_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(
        ReproError, match=rf"^here: truncated, {length} bytes where 2 records of 3073 mean 6146$"
    ):
        cifar10.parse_batch(bytes(length), 2, "here")


def test_a_truncated_archive_in_a_mirror_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetched(batches(), tmp_path, monkeypatch)
    mirrored = tmp_path / "mirror" / "cifar10" / NAME
    mirrored.write_bytes(mirrored.read_bytes()[:-100])
    path.unlink()
    with pytest.raises(ReproError, match=rf"{NAME} could not be fetched from any source: .*SHA-256 is "):
        fetch("cifar10", tmp_path, str(tmp_path / "mirror"), lambda line: None)


def test_an_archive_changed_after_fetching_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetched(batches(), tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ReproError, match=rf"{NAME}: SHA-256 is .*; `repro fetch cifar10` fetches it again$"):
        load_dataset("cifar10", tmp_path)


def test_an_unfetched_dataset_says_how_to_fetch_it(tmp_path: Path) -> None:
    message = r"^cifar10: not fetched; `repro fetch cifar10` \(with `--mirror FOLDER_OR_URL` where no public"
    with pytest.raises(ReproError, match=message):
        load_dataset("cifar10", tmp_path)
