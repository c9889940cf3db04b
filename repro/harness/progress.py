"""Progress of work that comes in equal pieces: one line with rate and time left, plain lines off a terminal."""

import sys
import time
from collections.abc import Callable

_PLAIN_SECONDS = 10.0


def duration(seconds: float) -> str:
    """Seconds in words: ``42 s``, ``3 min 05 s``, ``1 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """Says how many of ``total`` pieces of ``what`` are done, through ``say`` or, on a terminal, in place."""

    def __init__(self, what: str, total: int, pieces: str, say: Callable[[str], None]) -> None:
        self.what, self.total, self.pieces, self.say = what, total, pieces, say
        self.done = 0
        self.begun = time.monotonic()
        self.said = self.begun
        self.in_place = sys.stderr.isatty()
        if total:
            say(f"{what}: {total} {pieces} to train")

    def advance(self, pieces: int = 1) -> None:
        """So many more pieces are done."""
        self.done += pieces
        now = time.monotonic()
        each = (now - self.begun) / self.done
        rate = f"{each:.1f} s each" if each >= 1 else f"{1 / each:.3g} a second"
        line = (
            f"{self.what}: {self.done} of {self.total} {self.pieces}, {rate}, "
            f"{duration(each * (self.total - self.done))} left"
        )
        if self.done == self.total:
            line = f"{self.what}: {self.total} {self.pieces} in {duration(now - self.begun)}"
        if self.in_place:
            print(f"\r\033[K{line}", end="\n" if self.done == self.total else "", file=sys.stderr, flush=True)
        elif now - self.said >= _PLAIN_SECONDS or self.done == self.total:
            self.said = now
            self.say(line)
