"""Data from outside is never code: archives unpack inside their folder or not at all, pickles are refused."""

import lzma
import pickletools
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from repro.errors import ReproError

PICKLE_ENDINGS = (".pkl", ".pickle", ".pt", ".pth")
UNPACKED_LIMIT = 8 * 2**30
"""Bytes that an archive may unpack to, unless its caller says otherwise."""

_ZIP = b"PK\x03\x04"
_PROTOCOLS_2_TO_5 = range(2, 6)
_OPCODES = {opcode.code for opcode in pickletools.opcodes}
_SHORTEST_OLD_PICKLE = 4
"""Opcodes: plain text such as ``(0.`` can be read as up to three."""


def refuse_pickle(path: Path) -> None:
    """Raise ReproError when ``path`` is a pickle or a zip as ``torch.save`` writes, by name or content."""
    if path.suffix.lower() in PICKLE_ENDINGS:
        raise ReproError(f"{path}: refused, a {path.suffix} file can run code when read; data must be plain")
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise ReproError(f"{path}: cannot read ({error.strerror})") from error
    if head.startswith(_ZIP):
        raise ReproError(
            f"{path}: refused, it is a zip as torch.save writes, which holds a pickle; data must be plain"
        )
    if _begins_pickle(head, path):
        raise ReproError(f"{path}: refused, it is a pickle, which can run code when read; data must be plain")


def unpack(archive: Path, folder: Path, limit: int = UNPACKED_LIMIT) -> None:
    """Unpack a tar archive (plain, gz, bz2, xz) into ``folder``, which must be new or empty.

    All or nothing: ReproError, and no ``folder``, when any member is a link, a device, has an absolute name
    or one with ``..``, is a pickle, when the members exceed ``limit`` bytes, or the archive is damaged.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ReproError(f"{archive}: unpacking safely needs Python 3.11.4 or later")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ReproError(f"{folder}: is there already; remove it to unpack {archive.name} into it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
            inside = Path(beside) / "content"
            inside.mkdir()
            _extract(archive, inside, limit)
            inside.rename(folder)
    except tarfile.FilterError as error:
        raise ReproError(f"{archive}: refused, {error}") from error
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ReproError(f"{archive}: damaged or not a tar archive ({_first_line(error)})") from error
    except OSError as error:
        raise ReproError(f"{archive}: cannot unpack ({error.strerror or error}); nothing was left") from error


def _extract(archive: Path, inside: Path, limit: int) -> None:
    with tarfile.open(archive) as tar:
        total = 0
        for member in tar:
            total += member.size
            if fault := _fault(member):
                raise ReproError(f"{archive}: refused, member {member.name!r} {fault}")
            if total > limit:
                raise ReproError(f"{archive}: refused, it unpacks to more than {limit} bytes")
        tar.extractall(inside, filter="data")
    for path in sorted(inside.rglob("*")):
        if path.is_file():
            _refuse_member(archive, path, inside)


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
    return None


def _refuse_member(archive: Path, path: Path, inside: Path) -> None:
    try:
        refuse_pickle(path)
    except ReproError as error:
        reason = str(error).partition(": ")[2]
        raise ReproError(f"{archive}: member {str(path.relative_to(inside))!r} {reason}") from error


def _begins_pickle(head: bytes, path: Path) -> bool:
    if len(head) > 2 and head[0] == 0x80 and head[1] in _PROTOCOLS_2_TO_5:
        return chr(head[2]) in _OPCODES
    if not head.startswith((b"(", b"c", b"]", b"}")):
        return False
    try:
        with path.open("rb") as file:
            return sum(1 for _ in pickletools.genops(file)) >= _SHORTEST_OLD_PICKLE
    except (ValueError, IndexError):
        return False
