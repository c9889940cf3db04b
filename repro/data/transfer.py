"""One file over http(s) into a part file from which the next attempt, or a later call, continues."""

import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path

from repro.progress import Progress

TIMEOUT_SECONDS = 20.0
"""How long a server may stay silent before the connection is given up."""

_BLOCK = 1 << 16
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class SourceError(Exception):
    """A source failed to deliver; the message gives the reason in short. Another source may still deliver."""


def transfer(url: str, part: Path, limit: int, progress: Progress) -> bool:
    """Append to ``part`` until it holds all of ``url``; True when some of it came from an earlier call.

    A transfer that breaks off is resumed (HTTP Range) for as long as each attempt makes progress. If a server ignores
    the range, or answers with another one, the transfer starts over. Raises SourceError when the source cannot be
    reached, fails, or sends more than ``limit`` bytes; errors of the local disk stay OSErrors.
    """
    resumed = part.exists() and part.stat().st_size > 0
    furthest = 0
    while True:
        had = part.stat().st_size if part.exists() else 0
        furthest = max(furthest, had)
        try:
            response = _open(url, had)
        except urllib.error.HTTPError as error:
            if error.code == 416 and had:
                if _range(error.headers.get("Content-Range"))[1] == had:
                    return resumed
                part.unlink()
                resumed = False
                continue
            raise SourceError(f"HTTP {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceError(_reason(error)) from error
        with response:
            if had and not (
                response.status == 206 and _range(response.headers.get("Content-Range"))[0] == had
            ):
                progress.note("the source does not resume, starting over")
                part.unlink()
                resumed = False
                if response.status == 206:
                    continue
                had = 0
            elif had:
                progress.note(f"resuming after {had} bytes")
            broken = _receive(response, part, had, limit, progress)
        if broken is None:
            return resumed
        if part.stat().st_size <= furthest:
            raise SourceError(broken)


def _open(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "poisoning-repro", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    if not isinstance(response, http.client.HTTPResponse):
        raise ValueError("redirected away from http")
    return response


def _receive(
    response: http.client.HTTPResponse, part: Path, had: int, limit: int, progress: Progress
) -> str | None:
    """Append the body to ``part``; None if it arrived complete, else how it broke off."""
    announced = response.headers.get("Content-Length")
    total = had + int(announced) if announced is not None and announced.isdigit() else None
    done = had
    progress.begin(total, done)
    with part.open("ab") as file:
        while True:
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                return f"broke off after {done} bytes ({_reason(error)})"
            if not block:
                break
            done += len(block)
            if done > limit:
                part.unlink()
                raise SourceError(f"sends more than the {limit} bytes that this file can have")
            file.write(block)
            progress.advance(len(block))
    if total is not None and done < total:
        return f"broke off after {done} of {total} bytes"
    return None


def _range(header: str | None) -> tuple[int | None, int | None]:
    """First byte and total size of a Content-Range header, each None where it does not say."""
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return None, None
    first, total = match.groups()
    return (int(first) if first else None), (int(total) if total != "*" else None)


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:g} s"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
