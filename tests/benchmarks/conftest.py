"""Benchmarks print what they measured as small tables, below pytest-benchmark's own.

They measure under ``pytest tests/benchmarks -n 0 --benchmark-enable``; otherwise each runs once, on next to nothing.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from repro.harness.process import prepare

# The plain loop that is the fleet's oracle is also what it is timed against.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))

LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def say(request: pytest.FixtureRequest, benchmark: object) -> Callable[[str], None]:
    """Takes a line for the tables at the end; drops it where nothing is measured."""
    if not getattr(benchmark, "enabled", False):
        return lambda line: None
    return request.config.stash.setdefault(LINES, []).append


@pytest.fixture(scope="module")
def as_training_processes_are() -> Iterator[None]:
    """One thread and freed memory kept, for all sides alike."""
    before = torch.get_num_threads()
    prepare()
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = terminalreporter.config.stash.get(LINES, [])
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
