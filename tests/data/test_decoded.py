import errno
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repro.data import decoded as module
from repro.data.decoded import decoded
from repro.errors import ReproError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4)).astype(np.uint8)
LABELS = [1, 0, 2, 1, 0]
MADE_OF = {"source": "abc", "size": None}


class Maker:
    """Writes the images, and counts how often."""

    def __init__(self, pixels: np.ndarray = PIXELS) -> None:
        self.pixels, self.times = pixels, 0

    def __call__(self, target: Path) -> tuple[list[int], tuple[str, ...]]:
        self.times += 1
        with target.open("wb") as file:
            np.save(file, self.pixels)
        return LABELS, ("a", "b", "c")


def test_it_is_made_once_and_mapped(tmp_path: Path) -> None:
    make = Maker()
    for _ in range(2):
        found = decoded(tmp_path / "new", "d", MADE_OF, make)
        assert isinstance(found.images, np.memmap)
        assert not found.images.flags.writeable
        np.testing.assert_array_equal(found.images, PIXELS)
        assert found.labels.tolist() == LABELS
        assert found.classes == ("a", "b", "c")
    assert make.times == 1


def test_a_slice_reads_and_converts_only_its_rows(tmp_path: Path) -> None:
    found = decoded(tmp_path, "d", MADE_OF, Maker())
    chosen = np.array([4, 1])
    part, whole = (found.dataset("toy", "v", "f" * 64, rows) for rows in (chosen, None))
    np.testing.assert_array_equal(whole.images, PIXELS.astype(np.float32) / np.float32(255))
    assert whole.images.dtype == np.float32
    assert part.images.tobytes() == whole.images[chosen].tobytes()
    assert part.labels.tolist() == [0, 0]
    assert part.images.shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
    "changed", [{"source": "other"}, {"size": 64}, {"decoder": "Pillow 1"}], ids=lambda c: next(iter(c))
)
def test_it_is_made_anew_for_another_source_or_way(changed: dict[str, Any], tmp_path: Path) -> None:
    decoded(tmp_path, "d", MADE_OF, Maker())
    make = Maker(255 - PIXELS)
    found = decoded(tmp_path, "d", MADE_OF | changed, make)
    assert make.times == 1
    np.testing.assert_array_equal(found.images, 255 - PIXELS)


def spoil(folder: Path, how: str) -> None:
    images, about = folder / "d.npy", folder / "d.json"
    content = images.read_bytes()
    if how == "images cut short":
        images.write_bytes(content[:-1])
    elif how == "one pixel changed":
        images.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "images gone":
        images.unlink()
    elif how == "rest gone":
        about.unlink()
    elif how == "rest cut short":
        about.write_text(about.read_text()[:-9])
    elif how == "rest is a list":
        about.write_text("[]")
    else:
        about.write_text(json.dumps(json.loads(about.read_text()) | {"labels": json.loads(how)}))


@pytest.mark.parametrize(
    "how",
    [
        "images cut short",
        "one pixel changed",
        "images gone",
        "rest gone",
        "rest cut short",
        "rest is a list",
        "[1, 0, 2, 1]",
        '"labels"',
    ],
)
def test_what_is_spoilt_is_made_anew(how: str, tmp_path: Path) -> None:
    decoded(tmp_path, "d", MADE_OF, Maker())
    spoil(tmp_path, how)
    make = Maker()
    found = decoded(tmp_path, "d", MADE_OF, make)
    assert make.times == 1
    np.testing.assert_array_equal(found.images, PIXELS)
    assert found.labels.tolist() == LABELS
    decoded(tmp_path, "d", MADE_OF, make)
    assert make.times == 1


def test_a_change_is_noticed_after_the_checksum_was_remembered(tmp_path: Path) -> None:
    decoded(tmp_path, "d", MADE_OF, Maker())
    past = time.time() - 100
    os.utime(tmp_path / "d.npy", (past, past))
    decoded(tmp_path, "d", MADE_OF, Maker())
    spoil(tmp_path, "one pixel changed")
    make = Maker()
    decoded(tmp_path, "d", MADE_OF, make)
    assert make.times == 1


def test_a_pickled_array_is_never_read(tmp_path: Path) -> None:
    def make(target: Path) -> tuple[list[int], tuple[str, ...]]:
        with target.open("wb") as file:
            np.save(file, np.array([{}], object), allow_pickle=True)
        return [0], ("a",)

    with pytest.raises(ReproError, match=r"decoded images do not last$"):
        decoded(tmp_path, "d", MADE_OF, make)


def test_a_failure_leaves_nothing_and_what_was_there(tmp_path: Path) -> None:
    decoded(tmp_path, "d", MADE_OF, Maker())

    def fail(target: Path) -> tuple[list[int], tuple[str, ...]]:
        target.write_bytes(b"half")
        raise ReproError("no image")

    with pytest.raises(ReproError, match=r"^no image$"):
        decoded(tmp_path, "d", MADE_OF | {"size": 3}, fail)
    assert sorted(p.name for p in tmp_path.glob("[!.]*")) == ["d.json", "d.npy"]
    assert not list(tmp_path.glob("*unfinished*"))
    make = Maker()
    decoded(tmp_path, "d", MADE_OF, make)
    assert make.times == 0


def test_a_crash_between_the_two_files_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded(tmp_path, "d", MADE_OF, Maker())

    def killed(path: Path, value: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crash:
        crash.setattr(module, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            decoded(tmp_path, "d", MADE_OF | {"size": 3}, Maker(255 - PIXELS))
    make = Maker()
    np.testing.assert_array_equal(decoded(tmp_path, "d", MADE_OF, make).images, PIXELS)
    assert make.times == 1


def test_of_several_at_once_one_makes_it(tmp_path: Path) -> None:
    class Slow(Maker):
        def __call__(self, target: Path) -> tuple[list[int], tuple[str, ...]]:
            time.sleep(0.1)
            return super().__call__(target)

    make = Slow()
    threads = [threading.Thread(target=decoded, args=(tmp_path, "d", MADE_OF, make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert make.times == 1


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def full(target: Path) -> tuple[list[int], tuple[str, ...]]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ReproError, match=r"new: disk full while decoding images into it$"):
        decoded(tmp_path / "new", "d", MADE_OF, full)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReproError, match=r"file/d: cannot write \(Not a directory\)$"):
        decoded(tmp_path / "file" / "d", "d", MADE_OF, Maker())
