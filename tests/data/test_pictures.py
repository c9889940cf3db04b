import io
import os
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from miniature_folders import drawn, encoded, folder_of, tar_of
from PIL import Image

from repro.data import pictures
from repro.data.pictures import checked_size, decode, listing, picture
from repro.errors import ReproError

A, B, C, D = drawn(4)
SET = {"rose/2.png": encoded(C), "daisy/1.png": encoded(A), "rose/1.PNG": encoded(B), "README": b"hello"}


def rows(source: Path, size: int | None = None) -> tuple[np.ndarray, list[int], tuple[str, ...]]:
    """Images (n, h, w, 3), labels and classes."""
    found, target = listing(source), source.parent / "out.npy"
    decode(source, found, size, target)
    return np.load(target, allow_pickle=False).transpose(0, 2, 3, 1), found.labels(), found.classes


@pytest.mark.parametrize(
    "kind", ["folder", "tar", "gz", "bz2", "xz", "reversed tar", "tar with ./ and a top"]
)
def test_rows_are_in_the_order_of_names_however_they_are_packed(kind: str, tmp_path: Path) -> None:
    if kind == "folder":
        source = folder_of(tmp_path / "set", SET)
    elif kind == "reversed tar":
        source = tar_of(tmp_path / "set.tar", dict(reversed(SET.items())))
    elif kind == "tar with ./ and a top":
        source = tar_of(tmp_path / "set.tar", {f"./top/{name}": content for name, content in SET.items()})
    else:
        source = tar_of(tmp_path / "set.tar", SET, f"w:{'' if kind == 'tar' else kind}")
    images, labels, classes = rows(source)
    np.testing.assert_array_equal(images, [A, B, C])
    assert labels == [0, 1, 1]
    assert classes == ("daisy", "rose")


def test_a_class_may_lie_in_several_parts(tmp_path: Path) -> None:
    files = {"train/b/1.png": encoded(A), "train/a/1.png": encoded(B), "test/b/1.png": encoded(C)}
    images, labels, classes = rows(folder_of(tmp_path / "set", files))
    np.testing.assert_array_equal(images, [C, B, A])
    assert (labels, classes) == ([1, 0, 1], ("a", "b"))


def test_what_is_no_image_by_name_or_hidden_is_left_out(tmp_path: Path) -> None:
    extra = {
        "rose/flickr.py": b"x",
        "rose/._1.png": b"x",
        ".git/rose/1.png": b"x",
        "__MACOSX/rose/1.png": b"x",
    }
    found = listing(folder_of(tmp_path / "set", SET | extra))
    assert found == listing(tar_of(tmp_path / "set.tar", SET | extra))
    assert found.images == ("daisy/1.png", "rose/1.PNG", "rose/2.png")
    assert found.others == ("README", "rose/flickr.py")


@pytest.mark.parametrize("pack", [folder_of, tar_of])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rose/3.jpg": b"hello"}, "'rose/3.jpg' is no image"),
        ({"rose/3.png": encoded(D)[:-60]}, "'rose/3.png' cannot be decoded ("),
        (
            {"rose/3.png": encoded(np.zeros((6, 6), np.uint16))},
            "'rose/3.png' has more than 8 bits per channel",
        ),
        (
            {"rose/3.png": encoded(drawn(1, 5, 7)[0])},
            "'rose/3.png' has 7x5 pixels where 'daisy/1.png' has 6x6; "
            "the option size (pixels) brings all images to one size",
        ),
        ({"rose/3.png": pickle.dumps([1])}, "refused, it is a pickle, which can run code when read"),
        ({"rose/notes": pickle.dumps([1])}, "refused, it is a pickle, which can run code when read"),
        ({"3.png": encoded(D)}, "'3.png' lies in no class folder"),
    ],
)
def test_what_cannot_be_read_is_named(pack, changed: dict[str, bytes], message: str, tmp_path: Path) -> None:
    in_order = {name: (SET | changed)[name] for name in sorted(SET | changed)}
    source = pack(tmp_path / "set", in_order)
    with pytest.raises(ReproError, match=f"^{re.escape(str(source))}: .*{re.escape(message)}") as caught:
        rows(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pack", [folder_of, tar_of])
def test_without_two_class_folders_there_is_no_dataset(pack, tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"empty: no class folder with images in it \(\.jpg, "):
        listing(pack(tmp_path / "empty", {"rose/readme.txt": b"hello"}))
    with pytest.raises(
        ReproError, match=r"one: one class folder with images, 'rose'; there must be at least"
    ):
        listing(pack(tmp_path / "one", {"rose/1.png": encoded(A)}))


def test_links_and_devices_in_a_folder_are_refused(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", SET)
    (source / "tulip").symlink_to(tmp_path)
    with pytest.raises(ReproError, match=r"set: 'tulip' is a link; links are not followed$"):
        listing(source)
    (source / "tulip").unlink()
    os.mkfifo(source / "rose" / "3.png")
    with pytest.raises(ReproError, match=r"set: 'rose/3\.png' is neither a file nor a folder$"):
        listing(source)


def test_a_name_that_is_twice_in_a_tar_is_refused(tmp_path: Path) -> None:
    source = tar_of(tmp_path / "set.tar", SET | {"./rose/2.png": encoded(D)})
    with pytest.raises(ReproError, match=r"set\.tar: 'rose/2\.png' is in it twice$"):
        listing(source)


def test_an_image_that_vanishes_while_reading_is_noticed(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", SET)
    found = listing(source)
    (source / "rose" / "2.png").unlink()
    with pytest.raises(ReproError, match=r"set: changed while it was read$"):
        decode(source, found, None, tmp_path / "out.npy")


@pytest.mark.parametrize(("height", "width"), [(40, 60), (61, 40), (40, 40)])
def test_scaling_keeps_the_square_in_the_middle(height: int, width: int) -> None:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 2] = 255
    top, left = (height - 40) // 2, (width - 40) // 2
    pixels[top : top + 40, left : left + 40] = (200, 100, 50)
    scaled = picture(encoded(pixels), 8, "here")
    assert scaled.shape == (3, 8, 8)
    for channel, value in enumerate((200, 100, 50)):
        assert (scaled[channel] == value).all()


def test_scaling_down_averages_instead_of_skipping() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(picture(encoded(stripes), 8, "here").astype(int) - 127.5).max() < 12


def test_an_image_that_has_the_size_is_not_touched() -> None:
    np.testing.assert_array_equal(picture(encoded(A), 6, "here"), picture(encoded(A), None, "here"))


def test_an_image_stands_upright_as_its_exif_data_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = drawn(1, 4, 9)[0]
    turned = picture(encoded(pixels, exif=exif), None, "here")
    np.testing.assert_array_equal(turned.transpose(1, 2, 0), np.rot90(pixels, -1))


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF", "TIFF"])
def test_grey_becomes_three_equal_channels(form: str) -> None:
    grey = A[..., 0]
    np.testing.assert_array_equal(picture(encoded(grey, form), None, "here"), [grey] * 3)


def test_an_image_of_absurd_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ReproError, match=r"^here cannot be decoded \(Image size \(36 pixels\) exceeds limit"):
        picture(encoded(A), None, "here")


def test_transparency_is_dropped_without_a_warning() -> None:
    image = Image.fromarray(A).convert("P")
    file = io.BytesIO()
    image.save(file, "PNG", transparency=bytes(range(256)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture(file.getvalue(), None, "here").shape == (3, 6, 6)


@pytest.mark.parametrize("size", [0, -1, 4097, 2.0, "64", True])
def test_a_size_that_is_none_is_refused(size: object) -> None:
    message = f"^mine: size is {re.escape(repr(size))}, must be a whole number of pixels from 1 to 4096$"
    with pytest.raises(ReproError, match=message):
        checked_size("mine", size)
    assert checked_size("mine", 64) == 64
    assert checked_size("mine", None) is None


def test_how_far_decoding_is_is_told_in_bytes(tmp_path: Path) -> None:
    for source in (folder_of(tmp_path / "set", SET), tar_of(tmp_path / "set.tar", SET)):
        found, told = listing(source), [0]
        decode(source, found, None, tmp_path / "out.npy", told.append)
        assert told == sorted(told)
        assert told[-1] <= pictures.image_bytes(source, found)
    assert pictures.image_bytes(tmp_path / "set", found) == sum(map(len, SET.values()))
