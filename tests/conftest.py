"""What all tests share."""

from pathlib import Path

import pytest

from repro.evidence.files import write_text
from repro.profiles import Profile, load_profile


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """Profile tiny, of a project in ``tmp_path`` that has nothing else."""
    write_text(tmp_path / "params.yaml", "profile: tiny\nseeds: {evidence: 1, tuning: 100001}\n")
    return load_profile("tiny", tmp_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest file comes first: one process runs it while the others do the rest."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
