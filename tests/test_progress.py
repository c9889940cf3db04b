"""Progress is a bar on a terminal and plain lines elsewhere, and neither before there is something to wait for."""

import io
from collections.abc import Callable, Iterable

import pytest

from repro.progress import Progress

Run = Callable[..., list[str]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """What is said while, at each of these seconds, another step is done."""

    def run(
        seconds: Iterable[float], step: int, total: int | None, done: int = 0, unit: str = "B"
    ) -> list[str]:
        said: list[str] = []
        now = 0.0
        monkeypatch.setattr("tqdm.std.time", lambda: now)
        progress = Progress("a", unit, said.append, io.StringIO())
        progress.begin(total, done)
        for now in seconds:  # noqa: B007
            progress.advance(step)
        progress.end()
        return said

    return run


def test_plain_lines_come_every_five_seconds_with_rate_and_time_left(run: Run) -> None:
    assert run((1, 5, 6, 10), 1_000_000, 10_000_000) == [
        "a: 2.00M of 10.0M, 400kB/s, 00:20 left",
        "a: 4.00M of 10.0M, 400kB/s, 00:15 left",
    ]


def test_what_takes_less_than_five_seconds_says_nothing(run: Run) -> None:
    assert run((1, 2, 3, 4), 1, 4) == []


def test_models_are_counted_one_by_one(run: Run) -> None:
    assert run((120,), 1500, 3000, unit="models") == ["a: 1500 of 3000, 12.50models/s, 02:00 left"]
    assert run((60,), 3, 6, unit="models") == ["a: 3 of 6, 20.00s/models, 01:00 left"]


def test_the_rate_counts_only_what_came_now(run: Run) -> None:
    assert run((10,), 10_000_000, 80_000_000, 50_000_000) == ["a: 60.0M of 80.0M, 1.00MB/s, 00:20 left"]


def test_without_a_total_no_time_is_promised(run: Run) -> None:
    assert run((10,), 10_000_000, None) == ["a: 10.0M of ?, 1.00MB/s, 00:00 left"]


def test_on_a_terminal_a_bar_is_rewritten_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    terminal = Terminal()
    now = 0.0
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    progress = Progress("a", "B", said.append, terminal)
    progress.begin(4_000_000)
    for now in (1.0, 1.01, 2.0):  # noqa: B007
        progress.advance(1_000_000)
    first, second = terminal.getvalue().strip().split("\r")
    assert first.startswith("a:  25%|")
    assert first.rstrip().endswith("| 1.00M/4.00M [00:01<00:03, 1.00MB/s]")
    assert second.rstrip().endswith("| 3.00M/4.00M [00:02<00:00, 1.50MB/s]")
    progress.note("resuming")
    assert terminal.getvalue().rpartition("\r")[0].rpartition("\r")[2].strip() == ""
    assert said == ["a: resuming"]
    progress.end()
