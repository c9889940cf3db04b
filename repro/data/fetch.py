"""Fetches a dataset's files: https sources in turn, resumed, checked against a pinned SHA-256, then named."""

import errno
import gzip
import hashlib
import os
import urllib.parse
import urllib.request
import zlib
from pathlib import Path
from typing import IO, cast

from filelock import FileLock, Timeout

from repro.data import all_options, dataset_piece, raw_folder
from repro.data.datasets import Download, Options
from repro.data.transfer import SourceError, transfer
from repro.errors import ReproError
from repro.files import checksum
from repro.progress import Progress, Say, say_on_stderr

_BLOCK = 1 << 20


class UnverifiedError(SourceError):
    """What a source delivered is not the pinned content."""


def fetch(
    dataset_name: str,
    root: Path,
    mirror: str | None = None,
    say: Say = say_on_stderr,
    options: Options | None = None,
) -> None:
    """Bring the files of ``dataset_name`` into ``root``/data/raw/<dataset_name>, each verified; then prepare it.

    ``mirror``: a folder, or a file, http or https URL, that holds each file where its ``Download`` says, usually
    ``<dataset_name>/<path>``. It is tried first, then the public sources. (Plain http is fine, as the content is
    pinned.) Files that are present and verified are not fetched again. Raises ReproError when no source delivers a
    file, naming each source with its reason; when the disk is full or cannot be written; or when the mirror is neither
    a folder nor a URL. What was received stays in a ``.part`` file for the next call; nothing unverified ever gets a
    file's final name.
    """
    piece = dataset_piece(dataset_name)
    filled = all_options(dataset_name, options)
    prepare = getattr(piece, "prepare", None)
    if piece.FILES:
        _fetch_files(dataset_name, piece.FILES, root, mirror, say)
    elif prepare is None:
        say(f"{dataset_name}: nothing to fetch, it ships inside an installed package")
    if prepare is not None:
        prepare(root, filled, say)


def _fetch_files(
    dataset_name: str, files: tuple[Download, ...], root: Path, mirror: str | None, say: Say
) -> None:
    mirror_base = None if mirror is None else _mirror_base(mirror)
    folder = raw_folder(root, dataset_name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            failed: set[str] = set()
            for download in files:
                bases = download.sources
                if mirror_base is not None:
                    place = f"{mirror_base}/{download.in_mirror(dataset_name)}"
                    bases = (place.removesuffix(f"/{download.path}"), *bases)
                turn = sorted(bases, key=failed.__contains__)
                failed.update(_fetch_file(dataset_name, download, folder, turn, say))
    except Timeout as error:
        raise ReproError(f"{dataset_name}: another `repro fetch` is at work in {folder}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ReproError(
                f"{dataset_name}: disk full while writing in {folder}; "
                f"free some space and run `repro fetch {dataset_name}` again, it continues from there"
            ) from error
        raise ReproError(f"{error.filename or folder}: cannot write ({error.strerror or error})") from error


def _fetch_file(dataset: str, download: Download, folder: Path, bases: list[str], say: Say) -> list[str]:
    """Fetch one file from the first of ``bases`` that delivers it; returns those that did not."""
    what, target = f"{dataset}: {download.name}", folder / download.name
    if target.exists():
        if checksum(target) == download.sha256:
            say(f"{what} is cached (verified)")
            return []
        say(f"{what} is there but does not verify, fetching it again")
        target.unlink()
    if not bases:
        raise ReproError(
            f"{what} has no public source, a mirror is needed: `repro fetch {dataset} --mirror FOLDER_OR_URL`, "
            f"a folder or URL that holds {download.in_mirror(dataset)}"
        )
    failed, reasons = [], []
    for base in bases:
        url = f"{base}/{download.path}"
        try:
            _obtain(url, download, target, Progress(what, "B", say))
        except SourceError as error:
            failed.append(base)
            reasons.append(f"{url} ({error})")
            say(f"{what} failed from {url}: {error}")
            continue
        for part in folder.glob(f"{download.path}.*.part"):
            part.unlink()
        say(f"{what} fetched from {url} (verified)")
        return failed
    raise ReproError(
        f"{what} could not be fetched from any source: {'; '.join(reasons)}. "
        f"A folder or URL that holds {download.in_mirror(dataset)} can serve as a mirror: "
        f"`repro fetch {dataset} --mirror FOLDER_OR_URL`"
    )


def _obtain(url: str, download: Download, target: Path, progress: Progress) -> None:
    """Fetch one file from one source, verified, under its final name; raises SourceError when the source fails."""
    try:
        if "://" not in url:
            _place(Path(url), download, target)
            return
        part = target.with_name(f"{download.path}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")
        limit = download.size + download.size // 100 + _BLOCK
        resumed = transfer(url, part, limit, progress)
        try:
            _place(part, download, target)
        except UnverifiedError:
            part.unlink()
            if not resumed:
                raise
            progress.note("what was resumed does not verify, starting over")
            transfer(url, part, limit, progress)
            _place(part, download, target)
    finally:
        progress.end()


def _place(source: Path, download: Download, target: Path) -> None:
    """Unwrap ``source`` beside ``target``, and give it that name only if it is the pinned content."""
    try:
        raw = source.open("rb")
    except OSError as error:
        raise SourceError(error.strerror or str(error)) from error
    beside = target.with_name(f".{target.name}.unverified")
    digest, size, fault = hashlib.sha256(), 0, ""
    try:
        with raw, beside.open("wb") as file:
            content = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if download.path != download.name else raw
            try:
                while size <= download.size and (block := content.read(_BLOCK)):
                    file.write(block)
                    digest.update(block)
                    size += len(block)
            except EOFError:
                fault = "truncated, "
            except (gzip.BadGzipFile, zlib.error):
                fault = "damaged, "
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != download.sha256:
            fault = "too long, " if size > download.size else fault
            raise UnverifiedError(f"{fault}SHA-256 is {digest.hexdigest()}, expected {download.sha256}")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _mirror_base(mirror: str) -> str:
    """A mirror as a URL without its trailing slash, or as the path of an existing folder."""
    try:
        parts = urllib.parse.urlsplit(mirror)
    except ValueError as error:
        raise ReproError(f"mirror {mirror!r}: not a URL ({error})") from error
    if parts.scheme in ("http", "https") and parts.netloc:
        return mirror.rstrip("/")
    if "://" in mirror and parts.scheme != "file":
        raise ReproError(f"mirror {mirror!r}: must be a folder or a file, http or https URL")
    folder = Path(urllib.request.url2pathname(parts.path) if parts.scheme == "file" else mirror)
    if not folder.is_dir():
        raise ReproError(f"mirror {mirror!r}: no such folder")
    return str(folder)
