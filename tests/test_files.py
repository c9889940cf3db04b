"""A write replaces the whole file or nothing."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from repro import files
from repro.errors import ReproError
from repro.files import checksum, write_bytes, write_json, write_text


def fails(number: int) -> Callable[..., None]:
    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "one\n")
    write_text(path, "zwei ä\n")
    assert path.read_bytes() == "zwei ä\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "No space left on device"), (errno.EIO, "Input/output error")]
)
def test_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, reason: str
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    monkeypatch.setattr(files.os, step, fails(number))
    with pytest.raises(ReproError) as error:
        write_text(path, "new")
    assert str(error.value) == f"{path}: cannot write ({reason}); nothing was changed"
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_target_appears_only_when_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "a.txt", []
    replace = os.replace

    def watched(beside: str, target: Path) -> None:
        seen.append((path.exists(), Path(beside).read_bytes(), Path(beside).parent))
        replace(beside, target)

    monkeypatch.setattr(files.os, "replace", watched)
    write_bytes(path, b"whole")
    assert seen == [(False, b"whole", tmp_path)]


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ReproError, match=r"file/a\.txt: cannot write \(.*\); nothing was changed$"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_json_is_the_same_for_the_same_value(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, 0.1], "a": "ä"})
    write_json(tmp_path / "b.json", {"a": "ä", "b": [1, 0.1]})
    content = (tmp_path / "a.json").read_bytes()
    assert content == (tmp_path / "b.json").read_bytes()
    assert content.endswith(b"\n")
    assert json.loads(content) == {"a": "ä", "b": [1, 0.1]}


def test_checksum_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"abc")
    assert checksum(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
