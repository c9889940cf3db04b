import pickle
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from miniature_folders import drawn, encoded, folder_of, tar_of

from repro.data import checksums, describe, load_dataset, raw_folder, seeded_generator
from repro.data.datasets import class_folders
from repro.data.fetch import fetch
from repro.errors import ReproError

PIXELS = drawn(5)
NAMES = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", "emu/1.png")
SET = {name: encoded(image) for name, image in zip(NAMES, PIXELS, strict=True)}


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old enough at once, so that checksums are remembered."""
    monkeypatch.setattr(checksums, "_SETTLED_NS", -10_000_000_000)


def refused(root: Path, options: dict[str, object]) -> str:
    with pytest.raises(ReproError) as caught:
        describe("class_folders", options, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("pack", [folder_of, tar_of])
def test_facts_and_images_are_those_of_the_content(pack, tmp_path: Path) -> None:
    pack(tmp_path / "pets", SET)
    facts = describe("class_folders", {"path": "pets"}, tmp_path)
    assert (facts.shape, facts.classes, facts.images) == ((3, 6, 6), ("cat", "dog", "emu"), 5)
    dataset = load_dataset("class_folders", tmp_path, options={"path": "pets"})
    np.testing.assert_array_equal(np.rint(dataset.images * 255).transpose(0, 2, 3, 1), PIXELS)
    assert dataset.labels.tolist() == [0, 0, 1, 1, 2]
    assert dataset.classes == facts.classes
    assert dataset.sha256 == facts.checksum
    assert (dataset.name, dataset.variant) == ("class_folders", "own images of pets")


def test_a_slice_is_rows_of_the_whole_bit_for_bit(tmp_path: Path) -> None:
    options = {"path": str(folder_of(tmp_path / "pets", SET)), "size": 4}
    whole, part = (load_dataset("class_folders", tmp_path, limit, options) for limit in (None, 3))
    order = seeded_generator("limit/class_folders").permutation(5)[:3]
    assert part.images.tobytes() == whole.images[order].tobytes()
    assert part.labels.tobytes() == whole.labels[order].tobytes()
    assert part.variant == "own images of pets, scaled to 4x4, 3 of 5 images"
    with pytest.raises(ReproError, match=r"^class_folders: limit is 6, must be from 1 to its 5 images$"):
        load_dataset("class_folders", tmp_path, 6, options)


def test_images_of_various_sizes_need_a_size(tmp_path: Path) -> None:
    folder_of(tmp_path / "pets", SET | {"emu/2.png": encoded(drawn(1, 9, 12)[0])})
    message = refused(tmp_path, {"path": "pets"})
    assert "'emu/2.png' has 12x9 pixels where 'cat/1.png' has 6x6; the option size (pixels) brings" in message
    assert describe("class_folders", {"path": "pets", "size": 5}, tmp_path).shape == (3, 5, 5)


@pytest.mark.parametrize("pack", [folder_of, tar_of])
def test_a_change_of_content_is_another_checksum_and_other_images(pack, tmp_path: Path) -> None:
    options = {"path": "pets"}
    pack(tmp_path / "pets", SET)
    before = describe("class_folders", options, tmp_path)
    assert describe("class_folders", options, tmp_path) == before
    pack(tmp_path / "pets", SET | {"cat/1.png": encoded(255 - PIXELS[0])})
    after = describe("class_folders", options, tmp_path)
    assert after.checksum != before.checksum
    dataset = load_dataset("class_folders", tmp_path, options=options)
    np.testing.assert_array_equal(
        np.rint(dataset.images[0] * 255), 255 - PIXELS[0].transpose(2, 0, 1).astype(float)
    )


def test_what_is_no_image_by_name_does_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path / "pets", SET)
    before = describe("class_folders", {"path": "pets"}, tmp_path)
    folder_of(folder, {"cat/flickr.py": b"import this"})
    assert describe("class_folders", {"path": "pets"}, tmp_path) == before
    capsys.readouterr()
    describe("class_folders", {"path": "pets", "size": 3}, tmp_path)
    assert capsys.readouterr().err.splitlines()[0] == (
        "class_folders: left out as no images by name: 1 files (cat/flickr.py)"
    )


def test_a_second_look_neither_hashes_nor_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path / "pets", SET)
    tar_of(tmp_path / "pets.tar", SET)
    for path in ("pets", "pets.tar"):
        describe("class_folders", {"path": path}, tmp_path)

    def never(*rest: object) -> str:
        raise AssertionError("done again")

    monkeypatch.setattr(checksums, "checksum", never)
    monkeypatch.setattr(class_folders, "decode", never)
    for path in ("pets", "pets.tar"):
        describe("class_folders", {"path": path}, tmp_path)
        load_dataset("class_folders", tmp_path, 2, {"path": path})


def test_another_decoder_decodes_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"path": str(folder_of(tmp_path / "pets", SET))}
    for decoder, lines in (("Pillow 98", 2), ("Pillow 99", 2), ("Pillow 99", 1)):
        monkeypatch.setattr(class_folders, "decoder", lambda version=decoder: version)
        said: list[str] = []
        fetch("class_folders", tmp_path, say=said.append, options=options)
        assert len(said) == lines


def test_two_sources_and_sizes_lie_beside_each_other(tmp_path: Path) -> None:
    folder_of(tmp_path / "pets", SET)
    folder_of(tmp_path / "more", SET | {"fox/1.png": encoded(PIXELS[0])})
    seen = {
        (path, size): describe("class_folders", {"path": path, "size": size}, tmp_path)
        for path in ("pets", "more")
        for size in (None, 3)
    }
    assert {key: (facts.images, facts.shape[1]) for key, facts in seen.items()} == {
        ("pets", None): (5, 6),
        ("pets", 3): (5, 3),
        ("more", None): (6, 6),
        ("more", 3): (6, 3),
    }
    assert len(list(raw_folder(tmp_path, "class_folders").glob("*/decoded*.npy"))) == 4
    assert sorted(p.name for p in (tmp_path / "pets").iterdir()) == ["cat", "dog", "emu"], "nothing is added"


def test_fetching_decodes_it(tmp_path: Path) -> None:
    folder_of(tmp_path / "pets", SET)
    said: list[str] = []
    fetch("class_folders", tmp_path, say=said.append, options={"path": "pets"})
    assert said == [
        "class_folders: images decoded, once for all",
        "class_folders: 5 images of 3 classes in pets",
    ]
    said.clear()
    fetch("class_folders", tmp_path, say=said.append, options={"path": "pets"})
    assert said == ["class_folders: 5 images of 3 classes in pets"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "class_folders: path is None, must name a folder or tar of class folders"),
        ({"path": 3}, "class_folders: path is 3, must name a folder or tar of class folders"),
        ({"path": "nowhere"}, "class_folders: path: nowhere: no such folder or tar"),
        (
            {"path": "pets", "size": -2},
            "class_folders: size is -2, must be a whole number of pixels from 1 to 4096",
        ),
        ({"path": "pets", "colour": 1}, "class_folders: no option 'colour' (known: path, size)"),
    ],
)
def test_a_wrong_option_is_one_line(options: dict[str, object], message: str, tmp_path: Path) -> None:
    folder_of(tmp_path / "pets", SET)
    assert refused(tmp_path, options) == message


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path / "pets", {"readme.txt": b"none"})
    assert refused(tmp_path, {"path": "pets"}).startswith(
        f"{tmp_path}/pets: no class folder with images in it (.jpg, "
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cat/3.png", b"no image", "'cat/3.png' is no image"),
        ("cat/3.png", pickle.dumps({}), "entry cat/3.png: refused, it is a pickle"),
        ("cat/3.pkl", b"", "entry 'cat/3.pkl' is a pickle by its name"),
        ("../cat/3.png", SET[NAMES[0]], "entry '../cat/3.png' climbs out with '..'"),
    ],
)
def test_a_tar_with_one_bad_member_is_refused_and_leaves_nothing(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    tar_of(tmp_path / "pets.tar", SET | {name: content})
    found = refused(tmp_path, {"path": "pets.tar"})
    assert re.match(f"{re.escape(str(tmp_path))}/pets.tar: .*{re.escape(message)}", found)
    assert not list(raw_folder(tmp_path, "class_folders").glob("*/*.npy"))


def test_a_tar_with_a_link_is_refused(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "pets.tar", SET)
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("dog/3.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    assert refused(tmp_path, {"path": "pets.tar"}) == (
        f"{path}: refused, entry 'dog/3.png' is a link (to '/etc/passwd')"
    )
