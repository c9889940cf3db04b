"""One way to write times, sizes and columns."""

import pytest

from repro.words import columns, duration, size


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 seconds"),
        (42, "42 seconds"),
        (59.6, "1 minute"),
        (185, "3 minutes and 5 seconds"),
        (3599.7, "1 hour"),
        (7500, "2 hours and 5 minutes"),
        (90_000, "1 day and 1 hour"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 Bytes"),
        (999, "999 Bytes"),
        (1500, "1.5 kB"),
        (25e6, "25 MB"),
        (999.96e6, "1 GB"),
        (3.21e9, "3.21 GB"),
        (84e9, "84 GB"),
    ],
)
def test_sizes_in_words(count: float, words: str) -> None:
    assert size(count) == words


def test_cells_stand_below_each_other_as_they_are() -> None:
    assert columns([("claim", "n", "title"), ("a-01", "", "x"), ("b", "1.50", "")]) == (
        "claim  n     title\na-01         x\nb      1.50"
    )
