"""The figures' common look, and their bytes: the same figure gives the same PNG.

Colours are Okabe and Ito's, told apart with any colour vision; markers, line styles and hatches repeat what a colour
says, so that a print in grey loses nothing.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from repro.report.summary import Estimate

DPI = 150
WIDTH = 7.5
BLUE, VERMILLION, GREEN, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9"
GREY = "#767676"
LINES = ("-", "--", "-.", ":")
SERIES: tuple[dict[str, Any], ...] = (
    {"color": VERMILLION, "marker": "s", "linestyle": "-"},
    {"color": ORANGE, "marker": "D", "linestyle": "--"},
    {"color": BLUE, "marker": "o", "linestyle": "-."},
    {"color": GREEN, "marker": "^", "linestyle": ":"},
    {"color": SKY, "marker": "v", "linestyle": "-"},
    {"color": GREY, "marker": "P", "linestyle": "--"},
)

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 6,
    "errorbar.capsize": 2.5,
    "hatch.linewidth": 0.6,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Picture:
    """A figure as it is kept: the file's name, its bytes, and what it shows, in words."""

    file: str
    content: bytes
    description: str


@contextmanager
def look() -> Iterator[None]:
    """Within it, figures are made in the common look, whatever the user's own settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def canvas(
    rows: int = 1, columns: int = 1, *, height: float, width: float = WIDTH, **options: Any
) -> tuple[Any, Any]:
    """A figure of ``rows`` x ``columns`` axes, sizes in inches; the axes always as a two-dimensional array."""
    figure = Figure(figsize=(width, height), dpi=DPI)
    figure.set_layout_engine("constrained", w_pad=0.08)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def png(figure: Any) -> bytes:
    """The figure's PNG, without date or program in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def legend_below(figure: Any, handles: list[Any], labels: list[str], columns: int = 4) -> None:
    """One legend for the whole figure, under its axes."""
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def errorbars(
    axis: Any, offset: float, points: Sequence[Estimate | None], label: str, style: dict[str, Any]
) -> None:
    """Estimates with their intervals at places 0, 1, ... shifted by ``offset``; those that are None are left out."""
    shown = [(i + offset, p.mean, p.half_width or 0.0) for i, p in enumerate(points) if p]
    if shown:
        x, y, half = zip(*shown, strict=True)
        axis.errorbar(x, y, yerr=half, linestyle="none", elinewidth=1.2, label=label, **style)


def curve(
    axis: Any,
    places: Sequence[float],
    points: Sequence[Estimate | None],
    label: str | None,
    style: dict[str, Any],
) -> None:
    """A line through estimates at ``places`` with their intervals as bars; those that are None are left out."""
    shown = [(x, p.mean, p.half_width or 0.0) for x, p in zip(places, points, strict=True) if p]
    if shown:
        x, y, half = zip(*shown, strict=True)
        size = {"markersize": 4.5} if len(shown) <= 8 else {"markersize": 2.5, "capsize": 1.0}
        axis.errorbar(x, y, yerr=half, elinewidth=1.0, label=label, **size, **style)


def scale(axis: Any, values: Sequence[float], *, log: bool = False, most: int = 7) -> None:
    """A horizontal axis whose ticks are the grid's own ascending values; of more than ``most``, only some are labelled.

    ``log``: at logarithmic places, so that small values keep their room.
    """
    if log and len(values) > 1:
        axis.set_xscale("log")
        axis.set_xlim(values[0] / 1.25, values[-1] * 1.25)
    else:
        room = 0.09 * (values[-1] - values[0]) or 0.05
        axis.set_xlim(values[0] - room, values[-1] + room)
    step = -(-len(values) // most)
    axis.xaxis.set_major_locator(FixedLocator([*values[::-step][::-1]]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
