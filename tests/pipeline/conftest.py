"""Projects to run `dvc repro` in: nothing run yet, run through once, and a copy of that to change."""

import shutil
from pathlib import Path

import pytest
from tiny_project import ALSO_LEFT_OUT_TO_KILL, LEFT_OUT, Project, new_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of few experiments in which nothing has run."""
    return new_project(tmp_path, (*LEFT_OUT, *ALSO_LEFT_OUT_TO_KILL))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which `dvc repro` has run through; not to be changed."""
    made = new_project(tmp_path_factory.mktemp("finished"), one_core=True)
    made.reproduce()
    return made


@pytest.fixture
def reproduced(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to change."""
    shutil.copytree(finished.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", finished.one_core)
