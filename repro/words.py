"""How times, sizes and columns are written, in reports and on a terminal."""

from collections.abc import Iterable, Sequence


def duration(seconds: float) -> str:
    """A time: ``42 seconds``, ``3 minutes and 5 seconds``, from an hour without seconds ``1 hour and 10 minutes``."""
    from humanize import precisedelta

    return precisedelta(seconds, minimum_unit="seconds" if seconds < 3600 else "minutes", format="%.0f")


def size(count: float) -> str:
    """Bytes, in powers of ten with three digits: ``720 kB``, ``41 MB``, ``3.25 GB``."""
    from humanize import naturalsize

    return naturalsize(count, format="%.3g")


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells in columns that line up."""
    from tabulate import tabulate

    text: str = tabulate(rows, tablefmt="plain", disable_numparse=True)
    return text
