import hashlib
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from miniature_folders import drawn, encoded, tar_of

from repro.data import (
    Dataset,
    dataset_piece,
    describe,
    load_dataset,
    packed,
    pictures,
    raw_folder,
    seeded_generator,
)
from repro.data.datasets import Facts, cifar10_jpeg, flowers, flowers224
from repro.data.fetch import fetch
from repro.errors import ReproError

NAME = "cifar10-jpeg.tar.xz"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror that holds a miniature: three training images and one test image per class."""
    names = [f"train/{c}/{k:04}.jpg" for c in cifar10_jpeg.CLASSES for k in range(3)]
    names += [f"test/{c}/0000.jpg" for c in cifar10_jpeg.CLASSES]
    pixels = drawn(len(names), 32, 32)
    files = {name: encoded(image, "JPEG") for name, image in zip(names, pixels, strict=True)}
    path = tar_of(tmp_path / "mirror" / NAME, files, "w:xz")
    pin(monkeypatch, path)
    monkeypatch.setattr(cifar10_jpeg, "IMAGES", len(names))
    return path.parent


def pin(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    content = path.read_bytes()
    changed = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    monkeypatch.setattr(cifar10_jpeg, "FILES", (replace(cifar10_jpeg.FILES[0], **changed),))


def fetched(mirror: Path, root: Path) -> list[str]:
    said: list[str] = []
    fetch("cifar10_jpeg", root, str(mirror), said.append)
    return said


def refused(root: Path, options: dict[str, int] | None = None) -> str:
    with pytest.raises(ReproError) as caught:
        load_dataset("cifar10_jpeg", root, options=options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def bytes_of(dataset: Dataset) -> bytes:
    return dataset.images.tobytes() + dataset.labels.tobytes()


def test_fetching_takes_it_from_the_mirrors_root_and_decodes_it(mirror: Path, tmp_path: Path) -> None:
    assert fetched(mirror, tmp_path) == [
        f"cifar10_jpeg: {NAME} fetched from {mirror}/{NAME} (verified)",
        "cifar10_jpeg: images decoded, once for all",
    ]
    assert fetched(mirror, tmp_path) == [f"cifar10_jpeg: {NAME} is cached (verified)"]


def test_a_web_mirror_holds_it_in_its_root_too(server, mirror: Path, tmp_path: Path) -> None:
    server.files = {f"/copies/{NAME}": (mirror / NAME).read_bytes()}
    fetch("cifar10_jpeg", tmp_path, f"{server.base}/copies/", lambda line: None)
    assert [path for path, _ in server.requests] == [f"/copies/{NAME}"]
    assert len(load_dataset("cifar10_jpeg", tmp_path)) == 40


@pytest.mark.parametrize("name", ["cifar10_jpeg", "flowers224"])
def test_without_a_mirror_it_says_that_one_is_needed(name: str, tmp_path: Path) -> None:
    file = dataset_piece(name).FILES[0].name
    with pytest.raises(ReproError) as caught:
        fetch(name, tmp_path, say=lambda line: None)
    assert str(caught.value) == (
        f"{name}: {file} has no public source, a mirror is needed: "
        f"`repro fetch {name} --mirror FOLDER_OR_URL`, a folder or URL that holds {file}"
    )


def test_a_mirror_without_it_says_where_it_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    with pytest.raises(
        ReproError, match=rf"mirror/{NAME} \(No such file or directory\)\. A folder or URL that "
    ):
        fetched(tmp_path / "mirror", tmp_path)


def test_images_are_in_the_order_of_their_names_and_called_a_copy(mirror: Path, tmp_path: Path) -> None:
    fetched(mirror, tmp_path)
    dataset = load_dataset("cifar10_jpeg", tmp_path)
    assert (dataset.name, dataset.variant) == ("cifar10_jpeg", "JPEG copy")
    assert dataset.labels.tolist() == [*range(10), *np.repeat(range(10), 3)]
    assert dataset.classes == cifar10_jpeg.CLASSES
    assert dataset.sha256 == cifar10_jpeg.checksum()
    with tarfile.open(mirror / NAME) as tar:
        first = tar.extractfile("test/airplane/0000.jpg")
        assert first is not None
        from PIL import Image

        pixels = np.asarray(Image.open(first)).transpose(2, 0, 1)
    np.testing.assert_array_equal(dataset.images[0], pixels.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("options", [{}, {"size": 8}])
def test_a_slice_is_rows_of_the_whole_bit_for_bit(
    options: dict[str, int], mirror: Path, tmp_path: Path
) -> None:
    fetched(mirror, tmp_path)
    whole = load_dataset("cifar10_jpeg", tmp_path, options=options)
    part = load_dataset("cifar10_jpeg", tmp_path, 15, options)
    order = seeded_generator("limit/cifar10_jpeg").permutation(40)[:15]
    assert part.images.tobytes() == whole.images[order].tobytes()
    assert part.labels.tobytes() == whole.labels[order].tobytes()
    assert part.variant == f"{whole.variant}, 15 of 40 images"


def test_scaled_images_say_so_and_leave_the_others_alone(mirror: Path, tmp_path: Path) -> None:
    fetched(mirror, tmp_path)
    small = load_dataset("cifar10_jpeg", tmp_path, options={"size": 8})
    assert small.images.shape == (40, 3, 8, 8)
    assert small.variant == "JPEG copy, scaled to 8x8"
    assert load_dataset("cifar10_jpeg", tmp_path).images.shape == (40, 3, 32, 32)
    assert load_dataset("cifar10_jpeg", tmp_path, options={"size": 32}).variant == "JPEG copy"


def test_facts_follow_the_size_before_anything_is_fetched(tmp_path: Path) -> None:
    assert describe("cifar10_jpeg", {"size": 8}, tmp_path) == Facts(
        (3, 8, 8), cifar10_jpeg.CLASSES, 60_000, cifar10_jpeg.checksum()
    )
    with pytest.raises(
        ReproError, match=r"^cifar10_jpeg: size is 0, must be a whole number of pixels from 1 to"
    ):
        describe("cifar10_jpeg", {"size": 0}, tmp_path)


def test_decoding_again_gives_the_same_bytes(mirror: Path, tmp_path: Path) -> None:
    fetched(mirror, tmp_path)
    before = bytes_of(load_dataset("cifar10_jpeg", tmp_path))
    folder = raw_folder(tmp_path, "cifar10_jpeg")
    content = (folder / "decoded-32x32.npy").read_bytes()
    for spoilt in (content[:-5], content[:-1] + bytes([content[-1] ^ 1]), b""):
        (folder / "decoded-32x32.npy").write_bytes(spoilt)
        assert bytes_of(load_dataset("cifar10_jpeg", tmp_path)) == before
        assert (folder / "decoded-32x32.npy").read_bytes() == content


def test_another_decoder_decodes_anew(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched(mirror, tmp_path)
    monkeypatch.setattr(pictures, "decoder", lambda: "Pillow 99")
    assert fetched(mirror, tmp_path)[1:] == ["cifar10_jpeg: images decoded, once for all"]
    assert fetched(mirror, tmp_path)[1:] == []


def test_the_first_load_decodes_when_fetching_did_not(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched(mirror, tmp_path)
    folder = raw_folder(tmp_path, "cifar10_jpeg")
    for path in folder.glob("decoded*"):
        path.unlink()
    threads = [threading.Thread(target=load_dataset, args=("cifar10_jpeg", tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capsys.readouterr().err == "cifar10_jpeg: images decoded, once for all\n"


def test_an_unfetched_dataset_says_how_to_fetch_it(tmp_path: Path) -> None:
    assert refused(tmp_path) == (
        "cifar10_jpeg: not fetched; `repro fetch cifar10_jpeg --mirror FOLDER_OR_URL`, "
        "where a mirror holds cifar10-jpeg.tar.xz"
    )


def test_an_archive_changed_after_fetching_is_refused_although_decoded(mirror: Path, tmp_path: Path) -> None:
    fetched(mirror, tmp_path)
    path = raw_folder(tmp_path, "cifar10_jpeg") / NAME
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    expected, actual = (hashlib.sha256(c).hexdigest() for c in (content, content[:-1]))
    assert refused(tmp_path) == (
        f"{path}: SHA-256 is {actual}, expected {expected}; `repro fetch cifar10_jpeg` fetches it again"
    )


def test_an_archive_with_other_content_than_pinned_is_refused(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10_jpeg, "IMAGES", 41)
    with pytest.raises(
        ReproError, match=r"holds 40 images of 32x32 pixels in 10 classes, expected 41 of 32x32 in"
    ):
        fetched(mirror, tmp_path)


@pytest.mark.parametrize("piece", [flowers, flowers224])
def test_the_flower_sets_are_decoded_at_their_size(
    piece: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heights = (300, 240) if piece is flowers else (224, 224)
    files = {
        f"top/{c}/1.jpg": encoded(drawn(1, h, 224)[0], "JPEG") for c in piece.CLASSES for h in heights[:1]
    }
    files |= {f"top/{c}/2.jpg": encoded(drawn(1, heights[1], 224)[0], "JPEG") for c in piece.CLASSES}
    file = piece.FILES[0]
    mirrored = tar_of(tmp_path / "mirror" / file.in_mirror(piece.__name__.rpartition(".")[2]), files, "w")
    content = mirrored.read_bytes()
    pinned = replace(file, sha256=hashlib.sha256(content).hexdigest(), size=len(content), sources=())
    monkeypatch.setattr(piece, "FILES", (pinned,))
    monkeypatch.setattr(piece, "IMAGES", 10)
    name = piece.__name__.rpartition(".")[2]
    fetch(name, tmp_path, str(tmp_path / "mirror"), lambda line: None)
    dataset = load_dataset(name, tmp_path)
    assert dataset.images.shape == (10, 3, 224, 224)
    assert dataset.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert "TensorFlow" in dataset.variant


def test_photos_of_various_sizes_cannot_do_without_a_size(tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"^flowers: size is missing, and the photos have various sizes$"):
        describe("flowers", {"size": None}, tmp_path)


def test_a_load_reads_no_whole_file_again(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(mirror, tmp_path)
    from repro.data import checksums

    monkeypatch.setattr(checksums, "_SETTLED_NS", -10_000_000_000)
    load_dataset("cifar10_jpeg", tmp_path)

    def never(*rest: object) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr(checksums, "checksum", never)
    monkeypatch.setattr(packed, "with_progress", never)
    assert len(load_dataset("cifar10_jpeg", tmp_path, 5)) == 5
