import io
from collections.abc import Iterator

import pytest

from repro.data.progress import Progress, megabytes


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ticks(*seconds: float) -> Iterator[float]:
    return iter(seconds)


def test_plain_lines_come_every_five_seconds_with_rate_and_time_left() -> None:
    said: list[str] = []
    clock = ticks(0, 1, 5, 6, 10)
    progress = Progress("mnist: a", said.append, io.StringIO(), lambda: next(clock))
    for step in range(1, 5):
        progress.advance(1_000_000, step * 1_000_000, 10_000_000)
    progress.end()
    assert said == [
        "mnist: a: 2.0 of 10.0 MB, 0.4 MB/s, 20 s left",
        "mnist: a: 4.0 of 10.0 MB, 0.4 MB/s, 15 s left",
    ]


def test_the_rate_counts_only_what_came_now() -> None:
    said: list[str] = []
    clock = ticks(0, 10)
    progress = Progress("a", said.append, io.StringIO(), lambda: next(clock))
    progress.advance(10_000_000, 60_000_000, 80_000_000)
    assert said == ["a: 60.0 of 80.0 MB, 1.0 MB/s, 20 s left"]


def test_without_a_total_no_time_is_promised() -> None:
    said: list[str] = []
    clock = ticks(0, 10)
    progress = Progress("a", said.append, io.StringIO(), lambda: next(clock))
    progress.advance(10_000_000, 10_000_000, None)
    assert said == ["a: 10.0 MB, 1.0 MB/s"]


def test_on_a_terminal_one_line_is_rewritten_and_cleared() -> None:
    said: list[str] = []
    terminal = Terminal()
    clock = ticks(0, 1, 1.01, 2)
    progress = Progress("a", said.append, terminal, lambda: next(clock))
    for step in range(1, 4):
        progress.advance(1_000_000, step * 1_000_000, 4_000_000)
    assert terminal.getvalue() == (
        "\ra: 1.0 of 4.0 MB, 1.0 MB/s, 3 s left\x1b[K\ra: 3.0 of 4.0 MB, 1.5 MB/s, 1 s left\x1b[K"
    )
    terminal.truncate(terminal.seek(0))
    progress.note("resuming")
    assert terminal.getvalue() == "\r\x1b[K"
    assert said == ["a: resuming"]
    progress.end()
    assert terminal.getvalue() == "\r\x1b[K"


@pytest.mark.parametrize(("count", "text"), [(50_000, "0.1"), (9_940_000, "9.9"), (163_000_000, "163")])
def test_megabytes(count: int, text: str) -> None:
    assert megabytes(count) == text
