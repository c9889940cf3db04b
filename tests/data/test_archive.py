import gzip
import io
import os
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.data import archive as module
from repro.data.archive import contents, names, refuse_pickle
from repro.errors import ReproError


def entry(name: str, content: bytes = b"data", **changed) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in changed.items():
        setattr(member, key, value)
    return member, content


def tar_of(path: Path, *entries: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for member, content in entries:
            tar.addfile(member, io.BytesIO(content))
    return path


def everything(archive: Path, limit: int = module.UNPACKED_LIMIT) -> list[tuple[str, bytes]]:
    return list(contents(archive, limit=limit))


READINGS: list[Callable[..., object]] = [names, everything]


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_an_honest_archive_is_read_in_its_order(kind: str, tmp_path: Path) -> None:
    folder_entry = entry("set/rose", b"", type=tarfile.DIRTYPE, mode=0o755)
    files = [("set/rose/2.jpg", b"two"), ("set/rose/1.jpg", b"one")]
    archive = tar_of(tmp_path / "a.tar", folder_entry, *(entry(*file) for file in files), mode=f"w:{kind}")
    assert everything(archive) == files
    assert names(archive) == [name for name, _ in files]
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry("../out.txt"), "entry '../out.txt' climbs out with '..'"),
        (entry("a/../../out.txt"), "entry 'a/../../out.txt' climbs out with '..'"),
        (entry("a\\..\\..\\out.txt"), "climbs out with '..'"),
        (entry("/etc/out.txt"), "entry '/etc/out.txt' has an absolute name"),
        (entry("C:\\out.txt"), "has an absolute name"),
        (
            entry("link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            "entry 'link' is a link (to '/etc/passwd')",
        ),
        (
            entry("link", b"", type=tarfile.SYMTYPE, linkname="fine.txt"),
            "entry 'link' is a link (to 'fine.txt')",
        ),
        (
            entry("hard", b"", type=tarfile.LNKTYPE, linkname="fine.txt"),
            "entry 'hard' is a link (to 'fine.txt')",
        ),
        (entry("pipe", b"", type=tarfile.FIFOTYPE), "entry 'pipe' is neither a file nor a folder"),
        (entry("dev", b"", type=tarfile.CHRTYPE), "entry 'dev' is neither a file nor a folder"),
        (entry("weights.pt"), "entry 'weights.pt' is a pickle by its name, which can run code when read"),
    ],
)
def test_an_archive_with_one_bad_member_is_refused(reading, bad, message: str, tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", entry("fine.txt"), bad, entry("later.txt"))
    with pytest.raises(ReproError, match=f"^{re.escape(str(archive))}: .*{re.escape(message)}") as caught:
        reading(archive)
    assert "\n" not in str(caught.value)


def test_a_member_that_is_a_pickle_by_content_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", entry("fine.txt"), entry("batch_1", pickle.dumps([1])))
    with pytest.raises(
        ReproError, match=r"a\.tar\.gz: entry batch_1: refused, it is a pickle, which can run"
    ):
        everything(archive)


@pytest.mark.parametrize("reading", READINGS)
def test_an_archive_that_unpacks_to_too_much_is_refused(reading, tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "bomb.tar.gz", entry("a", bytes(600)), entry("b", bytes(600)))
    with pytest.raises(ReproError, match=r"bomb\.tar\.gz: refused, it unpacks to more than 1000 bytes$"):
        reading(archive, limit=1000)
    assert reading(archive, limit=1200)


def test_a_member_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMBER_LIMIT", 500)
    archive = tar_of(tmp_path / "a.tar.gz", entry("small", bytes(500)), entry("large", bytes(501)))
    with pytest.raises(ReproError, match=r"a\.tar\.gz: refused, entry 'large' has more than 500 bytes$"):
        everything(archive)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_a_truncated_archive_is_refused(reading, kind: str, tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar", entry("a", os.urandom(50_000)), mode=f"w:{kind}")
    archive.write_bytes(archive.read_bytes()[:30_000])
    with pytest.raises(ReproError, match=r"a\.tar: damaged or not a tar archive \(.+\)$") as caught:
        reading(archive)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", ["cut between members", "spoilt header"])
def test_a_plain_tar_that_seems_to_end_early_is_refused(fault: str, tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar", entry("a", bytes(512)), entry("b", bytes(512)), mode="w")
    whole = archive.read_bytes()
    second = 2 * tarfile.BLOCKSIZE
    broken = whole[:second] if fault == "cut between members" else whole[:second] + b"?" + whole[second + 1 :]
    archive.write_bytes(broken)
    with tarfile.open(archive) as tar:
        assert tar.getnames() == ["a"], "tarfile alone takes this for the whole archive"
    with pytest.raises(ReproError, match=r"a\.tar: damaged or not a tar archive \(it does not end as a tar"):
        everything(archive)


def test_a_compressed_tar_whose_own_checksum_fails_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", entry("a", bytes(5000)))
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ReproError, match=r"a\.tar\.gz: damaged or not a tar archive \(CRC check failed"):
        everything(archive)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "a.tar.gz"
    page.write_bytes(b"<html>moved</html>" * 100)
    with pytest.raises(ReproError, match="damaged or not a tar archive"):
        names(page)
    with pytest.raises(ReproError, match=r"none\.tar: cannot read \(No such file or directory\)$"):
        names(tmp_path / "none.tar")


def test_how_much_of_the_archive_is_read_is_told(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.xz", *(entry(str(k), os.urandom(9000)) for k in range(9)), mode="w:xz")
    told: list[int] = []
    for _ in contents(archive, told.append):
        pass
    assert told == sorted(told)
    assert len(told) == 9
    assert 0 < told[0] < told[-1] <= archive.stat().st_size


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [{"data": [1, 2]}, [1, "two"], np.arange(3), re.compile("x")], ids=type)
def test_a_pickle_of_any_protocol_is_refused_by_content(value: object, protocol: int) -> None:
    with pytest.raises(
        ReproError, match=r"data_batch_1: refused, it is a pickle, which can run code when read"
    ):
        refuse_pickle("data_batch_1", pickle.dumps(value, protocol))


@pytest.mark.parametrize("ending", [".pkl", ".pickle", ".pt", ".pth", ".PTH"])
def test_a_pickle_is_refused_by_name(ending: str) -> None:
    with pytest.raises(
        ReproError, match=rf"weights\{ending}: refused, a \{ending} file can run code when read"
    ):
        refuse_pickle(f"weights{ending}", b"")


def test_a_zip_as_torch_writes_is_refused() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(ReproError, match=r"weights\.bin: refused, it is a zip as torch\.save writes"):
        refuse_pickle("weights.bin", written.getvalue())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"0.5,0.25\n1,2\n",
        b"cat\ndog\nship\n",
        b"(0.5, 0.25)\n",
        b"[1, 2]\n",
        b"\0\0\x08\x01\0\0\0\1\5",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        gzip.compress(b"x", mtime=0),
        (0x280).to_bytes(8, "little") + b'{"weight":',
        (0x480).to_bytes(8, "little") + b'{"weight":',
    ],
)
def test_plain_data_is_accepted(content: bytes) -> None:
    refuse_pickle("data", content)


@settings(deadline=None)
@given(content=st.binary(max_size=64).filter(lambda b: b[:1] not in (b"\x80", b"(", b"c", b"]", b"}", b"P")))
def test_data_without_a_pickles_beginning_is_accepted(content: bytes) -> None:
    refuse_pickle("data", content)
