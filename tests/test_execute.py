"""What a finished phase leaves for the stages after it."""

from pathlib import Path

import pytest

from repro import execute


def test_weights_are_on_disk_once_where_the_file_system_can(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"weights")
    execute._link_or_copy(source, target)
    assert target.samefile(source)


def test_and_copied_where_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(execute.os, "link", refused)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"weights")
    execute._link_or_copy(source, target)
    assert target.read_bytes() == b"weights"
    assert not target.samefile(source)
