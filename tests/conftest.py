"""What all tests share."""

import os
from pathlib import Path

# Before PyTorch is imported: several test processes of several threads each wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from repro.files import write_text
from repro.harness.profile import Profile, load_profile

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """Profile tiny, of a project in ``tmp_path`` that has nothing else."""
    write_text(tmp_path / "params.yaml", "profile: tiny\nseeds: {evidence: 1, tuning: 100001}\n")
    return load_profile("tiny", tmp_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest file comes first: one process runs it while the others do the rest."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
