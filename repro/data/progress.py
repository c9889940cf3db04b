"""One line of progress for a transfer: rewritten in place on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

Say = Callable[[str], None]

_TERMINAL_SECONDS = 0.1
_PLAIN_SECONDS = 5.0


def say_on_stderr(line: str) -> None:
    """Print one line on stderr at once."""
    print(line, file=sys.stderr, flush=True)


def megabytes(count: float) -> str:
    """Bytes in MB (10^6), with one decimal below 100 MB."""
    return f"{count / 1e6:.0f}" if count >= 1e8 else f"{count / 1e6:.1f}"


class Progress:
    """Says how far a transfer of ``what`` is, how fast, and how long it still takes.

    ``stream`` decides between the two forms; plain lines go through ``say``, the first after five seconds.
    """

    def __init__(
        self,
        what: str,
        say: Say,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._say, self._clock = what, say, clock
        self._stream = stream or sys.stderr
        self._in_place = self._stream.isatty()
        self._written = False
        self._begun = self._last = clock()
        self._moved = 0

    def note(self, line: str) -> None:
        """Say ``line`` about the transfer, on a line of its own."""
        self.end()
        self._say(f"{self._what}: {line}")

    def advance(self, step: int, done: int, total: int | None) -> None:
        """``step`` more bytes came; ``done`` of ``total`` are there, with what an earlier transfer left."""
        self._moved += step
        now = self._clock()
        if now - self._last < (_TERMINAL_SECONDS if self._in_place else _PLAIN_SECONDS):
            return
        self._last = now
        rate = self._moved / (now - self._begun)
        line = f"{self._what}: {megabytes(done)}"
        if total is not None:
            line += f" of {megabytes(total)}"
        line += f" MB, {megabytes(rate)} MB/s"
        if total is not None and rate > 0:
            line += f", {(total - done) / rate:.0f} s left"
        if self._in_place:
            self._stream.write(f"\r{line}\x1b[K")
            self._stream.flush()
            self._written = True
        else:
            self._say(line)

    def end(self) -> None:
        """Clear the line that was written in place, if any."""
        if self._written:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._written = False
