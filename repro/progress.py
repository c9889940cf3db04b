"""Progress of whatever takes more than a few seconds: a bar on a terminal, elsewhere plain lines now and then."""

import shutil
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

Say = Callable[[str], None]

_TERMINAL_SECONDS, _PLAIN_SECONDS = 0.1, 5.0
_PLAIN = "{desc}: {n_fmt} of {total_fmt}, {rate_fmt}, {remaining} left"


def say_on_stderr(line: str) -> None:
    """Print one line on stderr at once."""
    print(line, file=sys.stderr, flush=True)


class _Lines:
    """What tqdm writes to where there is no terminal: whatever it shows is said as a line."""

    def __init__(self, say: Say) -> None:
        self.say = say

    def write(self, text: str) -> None:
        if line := text.strip():
            self.say(line)

    def flush(self) -> None:
        """Every line is said at once."""


class Progress:
    """Says how much of ``what`` is done, how fast that goes and how long the rest takes; plain lines through ``say``.

    ``unit`` is what is counted; bytes, ``B``, are written in powers of ten. ``stream`` decides between the two forms.
    """

    def __init__(self, what: str, unit: str, say: Say, stream: TextIO | None = None) -> None:
        self._what, self._unit, self._say = what, unit, say
        self._stream = stream or sys.stderr
        self._bar: Any = None

    def begin(self, total: int | None, done: int = 0) -> None:
        """From now on ``done`` of ``total``, where that is known, are done; the rate does not count these."""
        from tqdm import tqdm

        self.end()
        tqdm.monitor_interval = 0  # no thread of its own
        tqdm.set_lock(threading.RLock())  # and no lock that other processes may hold
        on_terminal = self._stream.isatty()
        columns, rows = shutil.get_terminal_size()  # 80 by 24 where a terminal does not tell
        every = _TERMINAL_SECONDS if on_terminal else _PLAIN_SECONDS
        self._bar = tqdm(
            desc=self._what,
            total=total,
            initial=done,
            unit=self._unit,
            unit_scale=self._unit == "B",
            file=self._stream if on_terminal else _Lines(self._say),
            bar_format=None if on_terminal else _PLAIN,
            mininterval=every,
            delay=every,
            miniters=1,
            smoothing=0,
            leave=False,
            ncols=columns if on_terminal else None,
            nrows=rows,
        )

    def advance(self, step: int) -> None:
        """So many more are done."""
        self._bar.update(step)

    def note(self, line: str) -> None:
        """Say ``line`` about it, on a line of its own."""
        self.end()
        self._say(f"{self._what}: {line}")

    def end(self) -> None:
        """Clear the line that was written in place, if any."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
