import gzip
import io
import os
import pickle
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.data.archive import refuse_pickle, unpack
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


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_an_honest_archive_unpacks(kind: str, tmp_path: Path) -> None:
    folder_entry = entry("set/rose", b"", type=tarfile.DIRTYPE, mode=0o755)
    archive = tar_of(tmp_path / "a.tar", folder_entry, entry("set/rose/1.jpg", b"one"), mode=f"w:{kind}")
    unpack(archive, tmp_path / "new" / "out")
    assert (tmp_path / "new" / "out" / "set" / "rose" / "1.jpg").read_bytes() == b"one"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry("../out.txt"), "member '../out.txt' climbs out with '..'"),
        (entry("a/../../out.txt"), "member 'a/../../out.txt' climbs out with '..'"),
        (entry("a\\..\\..\\out.txt"), "climbs out with '..'"),
        (entry("/etc/out.txt"), "member '/etc/out.txt' has an absolute name"),
        (entry("C:\\out.txt"), "has an absolute name"),
        (
            entry("link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            "member 'link' is a link (to '/etc/passwd')",
        ),
        (
            entry("link", b"", type=tarfile.SYMTYPE, linkname="fine.txt"),
            "member 'link' is a link (to 'fine.txt')",
        ),
        (
            entry("hard", b"", type=tarfile.LNKTYPE, linkname="fine.txt"),
            "member 'hard' is a link (to 'fine.txt')",
        ),
        (entry("pipe", b"", type=tarfile.FIFOTYPE), "member 'pipe' is neither a file nor a folder"),
        (entry("dev", b"", type=tarfile.CHRTYPE), "member 'dev' is neither a file nor a folder"),
        (entry("weights.pt"), "member 'weights.pt' refused, a .pt file can run code when read"),
        (entry("batch_1", pickle.dumps([1])), "member 'batch_1' refused, it is a pickle"),
    ],
)
def test_an_archive_with_one_bad_member_leaves_nothing(bad, message: str, tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", entry("fine.txt"), bad, entry("later.txt"))
    with pytest.raises(ReproError, match=f"^{re.escape(str(archive))}: .*{re.escape(message)}") as caught:
        unpack(archive, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "bomb.tar.gz", entry("a", bytes(600)), entry("b", bytes(600)))
    with pytest.raises(ReproError, match=r"bomb\.tar\.gz: refused, it unpacks to more than 1000 bytes$"):
        unpack(archive, tmp_path / "out", limit=1000)
    assert not (tmp_path / "out").exists()
    unpack(archive, tmp_path / "out", limit=1200)


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_a_damaged_archive_is_refused(kind: str, tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar", entry("a", os.urandom(50_000)), mode=f"w:{kind}")
    archive.write_bytes(archive.read_bytes()[:30_000])
    with pytest.raises(ReproError, match=r"a\.tar: damaged or not a tar archive \(.+\)$") as caught:
        unpack(archive, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "a.tar.gz"
    page.write_bytes(b"<html>moved</html>" * 100)
    with pytest.raises(ReproError, match="damaged or not a tar archive"):
        unpack(page, tmp_path / "out")
    with pytest.raises(ReproError, match=r"none\.tar: cannot unpack \(No such file or directory\)"):
        unpack(tmp_path / "none.tar", tmp_path / "out")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", entry("a"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(ReproError, match=r"out: is there already; remove it to unpack a\.tar\.gz into it$"):
        unpack(archive, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [{"data": [1, 2]}, [1, "two"], np.arange(3), re.compile("x")], ids=type)
def test_a_pickle_of_any_protocol_is_refused_by_content(value: object, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(
        ReproError, match=r"data_batch_1: refused, it is a pickle, which can run code when read"
    ):
        refuse_pickle(path)


@pytest.mark.parametrize("ending", [".pkl", ".pickle", ".pt", ".pth", ".PTH"])
def test_a_pickle_is_refused_by_name(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{ending}"
    path.write_bytes(b"")
    with pytest.raises(
        ReproError, match=rf"weights\{ending}: refused, a \{ending} file can run code when read"
    ):
        refuse_pickle(path)


def test_a_zip_as_torch_writes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(ReproError, match=r"weights\.bin: refused, it is a zip as torch\.save writes"):
        refuse_pickle(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"none: cannot read \(No such file or directory\)"):
        refuse_pickle(tmp_path / "none")


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
        gzip.compress(b"x"),
        (0x280).to_bytes(8, "little") + b'{"weight":',
        (0x480).to_bytes(8, "little") + b'{"weight":',
    ],
)
def test_plain_data_is_accepted(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    refuse_pickle(path)


@settings(deadline=None)
@given(content=st.binary(max_size=64).filter(lambda b: b[:1] not in (b"\x80", b"(", b"c", b"]", b"}", b"P")))
def test_data_without_a_pickles_beginning_is_accepted(content: bytes, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("data") / "data"
    path.write_bytes(content)
    refuse_pickle(path)
