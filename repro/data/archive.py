"""Data from outside is never code: archives are read without unpacking, pickles, links and ``..`` refused."""

import io
import lzma
import pickletools
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from repro.errors import ReproError

PICKLE_ENDINGS = (".pkl", ".pickle", ".pt", ".pth")
UNPACKED_LIMIT = 64 * 2**30
"""Bytes that an archive may unpack to, unless the caller says otherwise."""
MEMBER_LIMIT = 2**28
"""Bytes of an archive's largest entry, as each entry is read into memory."""

_ZIP = b"PK\x03\x04"
_PROTOCOLS_2_TO_5 = range(2, 6)
_OPCODES = {opcode.code for opcode in pickletools.opcodes}
_SHORTEST_OLD_PICKLE = 4
"""Opcodes: plain text such as ``(0.`` can be read as up to three."""

Advance = Callable[[int], None]
"""Told how many bytes of the archive itself have been read so far."""


def refuse_pickle(name: str, content: bytes) -> None:
    """Raise ReproError when ``content`` is a pickle, or a zip as written by ``torch.save``, by name or content."""
    ending = PurePosixPath(name).suffix
    if ending.lower() in PICKLE_ENDINGS:
        raise ReproError(f"{name}: refused, a {ending} file can run code when read; data must be plain")
    if content.startswith(_ZIP):
        raise ReproError(
            f"{name}: refused, it is a zip as torch.save writes, which holds a pickle; data must be plain"
        )
    if _begins_pickle(content):
        raise ReproError(f"{name}: refused, it is a pickle, which can run code when read; data must be plain")


def names(archive: Path, limit: int = UNPACKED_LIMIT) -> list[str]:
    """Names of all files in a tar archive (plain, gz, bz2, xz), in its order; only headers are looked at.

    Raises ReproError when any entry is a link or a device, or has an absolute name, a name with ``..`` or the name of a
    pickle; when the entries exceed ``limit`` bytes or one of them MEMBER_LIMIT; or when the archive is damaged.
    """
    with _opened(archive) as (tar, _):
        return [member.name for member in _members(tar, archive, limit)]


def contents(
    archive: Path, advance: Advance | None = None, limit: int = UNPACKED_LIMIT
) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file in a tar archive, in its order; nothing is written.

    Refuses what ``names`` refuses, and also pickles by their content, which it finds only on reaching them: so nothing
    made from the first entries may be kept before the last one has been read.
    """
    with _opened(archive) as (tar, raw):
        for member in _members(tar, archive, limit):
            file = tar.extractfile(member)
            assert file is not None, "not a regular file, which _members refuses"
            content = file.read()
            try:
                refuse_pickle(member.name, content)
            except ReproError as error:
                raise ReproError(f"{archive}: entry {error}") from error
            if advance is not None:
                advance(raw.tell())
            yield member.name, content


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[tarfile.TarFile, IO[bytes]]]:
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as tar:
            yield tar, raw
            _read_to_end(tar, raw)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ReproError(f"{archive}: damaged or not a tar archive ({_first_line(error)})") from error
    except OSError as error:
        if error.errno is None:
            raise ReproError(f"{archive}: damaged or not a tar archive ({_first_line(error)})") from error
        raise ReproError(f"{archive}: cannot read ({error.strerror})") from error


def _read_to_end(tar: tarfile.TarFile, raw: IO[bytes]) -> None:
    """Reads what follows the last entry, so that a compressed archive's own checksum is verified.

    A plain tar has no checksum: its end mark must follow, since tarfile takes a corrupt header for the end.
    """
    assert tar.fileobj is not None
    if tar.fileobj is raw:
        raw.seek(tar.offset)
        if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it does not end as a tar does")
        return
    while tar.fileobj.read(1 << 20):
        pass


def _members(tar: tarfile.TarFile, archive: Path, limit: int) -> Iterator[tarfile.TarInfo]:
    total = 0
    for member in tar:
        total += member.size
        if fault := _fault(member):
            raise ReproError(f"{archive}: refused, entry {member.name!r} {fault}")
        if total > limit:
            raise ReproError(f"{archive}: refused, it unpacks to more than {limit} bytes")
        if member.isreg():
            yield member


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(":")


def _fault(member: tarfile.TarInfo) -> str | None:
    if member.issym() or member.islnk():
        return f"is a link (to {member.linkname!r})"
    if not (member.isreg() or member.isdir()):
        return "is neither a file nor a folder"
    name = member.name
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or name.startswith("\\"):
        return "has an absolute name"
    if ".." in PurePosixPath(name).parts or ".." in PureWindowsPath(name).parts:
        return "climbs out with '..'"
    if PurePosixPath(name).suffix.lower() in PICKLE_ENDINGS:
        return "is a pickle by its name, which can run code when read; data must be plain"
    if member.size > MEMBER_LIMIT:
        return f"has more than {MEMBER_LIMIT} bytes"
    return None


def _begins_pickle(content: bytes) -> bool:
    if len(content) > 2 and content[0] == 0x80 and content[1] in _PROTOCOLS_2_TO_5:
        return chr(content[2]) in _OPCODES
    if not content.startswith((b"(", b"c", b"]", b"}")):
        return False
    try:
        return sum(1 for _ in pickletools.genops(io.BytesIO(content))) >= _SHORTEST_OLD_PICKLE
    except (ValueError, IndexError):
        return False
