"""A project that has papers of its own, outside the repository."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_project import PARAMS, Write, forget

from repro import plugins
from repro.files import write_text
from repro.harness import profile as profiles


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a project, which commands run in; papers written there are found when first asked for."""
    root = tmp_path / "project"
    write_text(root / "params.yaml", PARAMS)
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(profiles, "_given", [])
    before = set(sys.modules)
    forget()
    yield root
    for name in [name for name in sys.modules if name not in before and not name.startswith("repro")]:
        if name.partition(".")[0] in ("papers", "elsewhere"):
            del sys.modules[name]
    forget()


@pytest.fixture
def write(project: Path) -> Write:
    """Write a file of a paper called ``mine``, which exists from then on."""

    def file(place: str, text: str) -> Path:
        path = project / "papers" / "mine" / place
        write_text(path, text)
        plugins.forget()
        if not (project / "papers" / "mine" / "__init__.py").exists():
            write_text(project / "papers" / "mine" / "__init__.py", '"""Mine."""\n')
        return path

    return file
