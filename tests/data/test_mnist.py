import hashlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.data import load_dataset, raw_folder, seeded_generator
from repro.data.datasets import mnist
from repro.data.fetch import fetch
from repro.errors import ReproError


def idx(shape: tuple[int, ...], body: bytes, magic: bytes = b"\0\0\x08") -> bytes:
    return magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


@settings(deadline=None)
@given(st.one_of(st.tuples(st.integers(0, 40)), st.tuples(*[st.integers(0, 6)] * 3)), st.randoms())
def test_an_idx_file_reads_back(shape: tuple[int, ...], random) -> None:
    array = np.frombuffer(random.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)
    read = mnist.parse_idx(idx(shape, array.tobytes()), "here")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


@settings(deadline=None)
@given(st.integers(0, 15 + 2 * 9))
def test_an_idx_file_cut_anywhere_is_refused(length: int) -> None:
    whole = idx((2, 3, 3), bytes(18))
    with pytest.raises(ReproError, match=rf"^here: truncated, {length} bytes"):
        mnist.parse_idx(whole[:length], "here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            idx((2,), b"\1\2", b"\0\0\x0d"),
            "not an idx file of labels or images, its magic number is 0x00000d01 instead",
        ),
        (idx((2,), b"\1\2", b"\1\0\x08"), "magic number is 0x01000801"),
        (idx((1, 2), b"\1\2"), "magic number is 0x00000802 instead of 0x00000801 or 0x00000803"),
        (b"<html>not found</html>", "magic number is 0x3c68746d"),
        (idx((3,), b"\1\2"), "truncated, 10 bytes where its header 3 means 11"),
        (idx((1, 1, 2), b"\1\2\3"), "too long, 19 bytes where its header 1x1x2 means 18"),
        (idx((2**31, 2**31, 4), b""), "truncated, 16 bytes where its header 2147483648x2147483648x4 means"),
    ],
)
def test_what_is_no_idx_file_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ReproError, match=f"^here: .*{re.escape(message)}"):
        mnist.parse_idx(content, "here")


def test_training_images_come_first_scaled_to_one(miniature, tmp_path: Path) -> None:
    fetch("mnist", tmp_path, str(miniature.mirror(tmp_path / "mirror")), say=lambda line: None)
    dataset = load_dataset("mnist", tmp_path)
    pixels = b"".join(miniature.content[f"{part}-images-idx3-ubyte"][16:] for part in ("train", "t10k"))
    labels = b"".join(miniature.content[f"{part}-labels-idx1-ubyte"][8:] for part in ("train", "t10k"))
    assert dataset.images.shape == (8, *mnist.SHAPE)
    assert np.rint(dataset.images * 255).astype(np.uint8).tobytes() == pixels
    assert dataset.labels.astype(np.uint8).tobytes() == labels
    assert dataset.sha256 == mnist.checksum()


def test_a_slice_is_rows_of_the_whole_bit_for_bit(
    miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "IMAGES", 8)
    fetch("mnist", tmp_path, str(miniature.mirror(tmp_path / "mirror")), say=lambda line: None)
    whole, part = load_dataset("mnist", tmp_path), load_dataset("mnist", tmp_path, 6)
    order = seeded_generator("limit/mnist").permutation(8)[:6]
    assert set(order) & {0, 1, 2, 3, 4}
    assert set(order) & {5, 6, 7}
    assert part.images.tobytes() == whole.images[order].tobytes()
    assert part.labels.tobytes() == whole.labels[order].tobytes()
    assert part.variant == "idx, 6 of 8 images"


def test_an_unfetched_dataset_says_how_to_fetch_it(tmp_path: Path) -> None:
    message = r"^mnist: not fetched; `repro fetch mnist` \(with `--mirror FOLDER_OR_URL` "
    with pytest.raises(ReproError, match=message):
        load_dataset("mnist", tmp_path)


def test_a_file_changed_after_fetching_is_refused(miniature, tmp_path: Path) -> None:
    fetch("mnist", tmp_path, str(miniature.mirror(tmp_path / "mirror")), say=lambda line: None)
    path = raw_folder(tmp_path, "mnist") / "t10k-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    expected = hashlib.sha256(miniature.content[path.name]).hexdigest()
    actual = hashlib.sha256(content).hexdigest()
    with pytest.raises(ReproError) as caught:
        load_dataset("mnist", tmp_path)
    assert str(caught.value) == (
        f"{path}: SHA-256 is {actual}, expected {expected}; `repro fetch mnist` fetches it again"
    )


def test_the_checksum_follows_every_pin(miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    files, before = mnist.FILES, mnist.checksum()
    seen = {before}
    for i in range(len(files)):
        monkeypatch.setattr(mnist, "FILES", files[:i] + files[i + 1 :])
        seen.add(mnist.checksum())
    assert len(seen) == 5


def test_the_pinned_files_are_mnist() -> None:
    assert [file.size for file in mnist.FILES] == [
        16 + 60_000 * 784,
        8 + 60_000,
        16 + 10_000 * 784,
        8 + 10_000,
    ]
    assert mnist.checksum() == "d0a3eec1f5a454401d758fdbf15b9b0163a7034963586d671960c180b97e2c1a"
