import hashlib
import os
import time
from pathlib import Path

import pytest

from repro.data import checksums
from repro.data.checksums import file_checksum, folder_checksum
from repro.errors import ReproError


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were hashed."""
    seen: list[str] = []
    really = checksums.checksum

    def counted(path: Path) -> str:
        seen.append(path.name)
        return really(path)

    monkeypatch.setattr(checksums, "checksum", counted)
    return seen


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old enough at once."""
    monkeypatch.setattr(checksums, "_SETTLED_NS", -10_000_000_000)


def test_a_files_checksum_is_remembered_until_it_changes(hashed, settled, tmp_path: Path) -> None:
    path, memory = tmp_path / "a", tmp_path / "new" / "memory.json"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        for _ in range(3):
            assert file_checksum(path, memory) == hashlib.sha256(content).hexdigest()
    assert hashed == ["a", "a"]


def test_a_file_of_the_same_size_and_time_is_not_taken_for_the_same(settled, tmp_path: Path) -> None:
    path, memory = tmp_path / "a", tmp_path / "memory.json"
    path.write_bytes(b"one")
    os.utime(path, (1e9, 1e9))
    file_checksum(path, memory)
    time.sleep(0.02)
    path.write_bytes(b"two")
    os.utime(path, (1e9, 1e9))
    assert file_checksum(path, memory) == hashlib.sha256(b"two").hexdigest()


def test_a_file_written_just_now_is_not_trusted(hashed, tmp_path: Path) -> None:
    path, memory = tmp_path / "a", tmp_path / "memory.json"
    path.write_bytes(b"one")
    for _ in range(2):
        file_checksum(path, memory)
    assert hashed == ["a", "a"]
    assert not memory.exists()


@pytest.mark.parametrize("left", ["", "{", "[]", '{"stamp": 1}', "\udcff"])
def test_a_spoilt_memory_is_ignored(left: str, tmp_path: Path) -> None:
    path, memory = tmp_path / "a", tmp_path / "memory.json"
    path.write_bytes(b"one")
    memory.write_text(left, "utf-8", "surrogateescape")
    assert file_checksum(path, memory) == hashlib.sha256(b"one").hexdigest()


def test_a_memory_that_cannot_be_written_does_no_harm(settled, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    assert file_checksum(tmp_path / "a", tmp_path / "a" / "memory") == hashlib.sha256(b"one").hexdigest()


def test_a_folders_checksum_is_over_sorted_names_and_contents(hashed, settled, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "b").write_bytes(b"one")
    (tmp_path / "x" / "a").write_bytes(b"two")
    one, two = (hashlib.sha256(content).hexdigest() for content in (b"one", b"two"))
    expected = hashlib.sha256(f"{two}  x/a\n{one}  x/b\n".encode()).hexdigest()
    assert folder_checksum(tmp_path, ["x/b", "x/a"], memory) == expected
    assert folder_checksum(tmp_path, ["x/a", "x/b"], memory) == expected
    assert hashed == ["a", "b"]
    (tmp_path / "x" / "a").rename(tmp_path / "x" / "c")
    assert folder_checksum(tmp_path, ["x/b", "x/c"], memory) != expected


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"none: cannot read \(No such file or directory\)$"):
        file_checksum(tmp_path / "none", tmp_path / "memory.json")
