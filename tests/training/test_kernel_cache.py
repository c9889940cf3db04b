"""Where compiled code is kept: one folder for each content of the kernel's sources."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from repro.errors import ReproError
from repro.kernel import cache

PACKAGE = Path(cache.__file__).parents[1]
ASKED = "from repro.kernel import cache, steps; print(cache.folder()); print(steps.see.stats.cache_path)"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package in another place."""
    shutil.copytree(PACKAGE, tmp_path / "copy" / "repro", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def folder_of(place: Path, kept: Path) -> str:
    """The folder that Numba uses for a function of the package at a place."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(kept)}
    command = [sys.executable, "-c", ASKED]
    asked = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=True)
    ours, numbas = asked.stdout.split()
    assert ours == numbas
    return ours


def test_clones_share_what_one_of_them_compiled(copy: Path, tmp_path: Path) -> None:
    assert folder_of(copy, tmp_path) == folder_of(PACKAGE.parent, tmp_path)


@pytest.mark.parametrize("file", ["kernel/vectors.py", "losses/pairs.py"])
def test_a_change_in_any_file_is_compiled_anew(copy: Path, tmp_path: Path, file: str) -> None:
    before = folder_of(copy, tmp_path)
    changed = copy / "repro" / file
    changed.write_text(changed.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    assert folder_of(copy, tmp_path) != before


def test_what_cannot_be_written_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file" / "below"))
    (tmp_path / "file").touch()
    cache.folder.cache_clear()
    assert tmp_path not in cache.folder().parents
    monkeypatch.setattr(cache.os, "access", lambda *_: False)
    cache.folder.cache_clear()
    with pytest.raises(ReproError, match="set NUMBA_CACHE_DIR"):
        cache.folder()
    monkeypatch.undo()
    cache.folder.cache_clear()
