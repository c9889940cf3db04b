import errno
import gzip
import hashlib
import io
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from repro.data import raw_folder, transfer
from repro.data.datasets import mnist
from repro.data.fetch import fetch
from repro.errors import ReproError

FIRST = "train-images-idx3-ubyte"


def fetched(root: Path) -> dict[str, bytes]:
    """What lies under final names (hidden files are the lock and what is being verified)."""
    folder = raw_folder(root, "mnist")
    return {p.name: p.read_bytes() for p in folder.glob("[!.]*")} if folder.exists() else {}


def refused(root: Path, mirror: str | None, say: Callable[[str], None] = lambda line: None) -> str:
    """The one line that a failing fetch ends in."""
    with pytest.raises(ReproError) as caught:
        fetch("mnist", root, mirror, say)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sources(monkeypatch: pytest.MonkeyPatch, *bases: str) -> None:
    monkeypatch.setattr(mnist, "FILES", tuple(replace(file, sources=bases) for file in mnist.FILES))


@pytest.fixture
def dead() -> str:
    """A URL at which nobody answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("form", ["folder", "file URL"])
def test_a_mirror_folder_serves_by_path_and_by_url(form: str, miniature, tmp_path: Path) -> None:
    mirror = miniature.mirror(tmp_path / "my mirror")
    said: list[str] = []
    fetch("mnist", tmp_path, str(mirror) if form == "folder" else mirror.as_uri(), said.append)
    assert fetched(tmp_path) == miniature.content
    assert said[0] == f"mnist: {FIRST} fetched from {mirror}/mnist/{FIRST}.gz (verified)"


def test_a_web_mirror_serves_what_it_wraps_differently(web_mirror, miniature, tmp_path: Path) -> None:
    rewrapped = gzip.compress(miniature.content[FIRST], 1, mtime=99)
    assert rewrapped != miniature.wrapped[f"{FIRST}.gz"]
    web_mirror.files[f"/mnist/{FIRST}.gz"] = rewrapped
    fetch("mnist", tmp_path, web_mirror.base + "/", lambda line: None)
    assert fetched(tmp_path) == miniature.content
    assert len(web_mirror.requests) == 4


def test_what_is_there_is_cached_and_not_fetched_again(web_mirror, miniature, tmp_path: Path) -> None:
    fetch("mnist", tmp_path, web_mirror.base, lambda line: None)
    web_mirror.requests.clear()
    said: list[str] = []
    fetch("mnist", tmp_path, web_mirror.base, said.append)
    assert said == [f"mnist: {name} is cached (verified)" for name in miniature.content]
    assert web_mirror.requests == []


def test_a_spoilt_file_is_fetched_again(web_mirror, miniature, tmp_path: Path) -> None:
    fetch("mnist", tmp_path, web_mirror.base, lambda line: None)
    (raw_folder(tmp_path, "mnist") / FIRST).write_bytes(b"spoilt")
    said: list[str] = []
    fetch("mnist", tmp_path, web_mirror.base, said.append)
    assert fetched(tmp_path) == miniature.content
    assert said[0] == f"mnist: {FIRST} is there but does not verify, fetching it again"
    assert said[2] == "mnist: train-labels-idx1-ubyte is cached (verified)"


def test_a_transfer_that_breaks_off_goes_on_by_range(web_mirror, miniature, tmp_path: Path) -> None:
    web_mirror.break_after = [1000, 500]
    said: list[str] = []
    fetch("mnist", tmp_path, web_mirror.base, said.append)
    assert fetched(tmp_path) == miniature.content
    path = f"/mnist/{FIRST}.gz"
    assert web_mirror.requests[:3] == [(path, None), (path, "bytes=1000-"), (path, "bytes=1500-")]
    assert said[:2] == [f"mnist: {FIRST}: resuming after {n} bytes" for n in (1000, 1500)]


def test_a_later_call_goes_on_where_an_earlier_one_stopped(web_mirror, miniature, tmp_path: Path) -> None:
    total = len(miniature.wrapped[f"{FIRST}.gz"])
    web_mirror.break_after = [1000, 0]
    message = refused(tmp_path, web_mirror.base)
    assert f"{web_mirror.base}/mnist/{FIRST}.gz (broke off after 1000 of {total} bytes)" in message
    (part,) = fetched(tmp_path)
    assert part.endswith(".part")
    web_mirror.requests.clear()
    fetch("mnist", tmp_path, web_mirror.base, lambda line: None)
    assert web_mirror.requests[0] == (f"/mnist/{FIRST}.gz", "bytes=1000-")
    assert fetched(tmp_path) == miniature.content


def test_a_part_that_is_already_whole_is_used(web_mirror, miniature, tmp_path: Path) -> None:
    part_of(tmp_path, web_mirror.base).write_bytes(miniature.wrapped[f"{FIRST}.gz"])
    fetch("mnist", tmp_path, web_mirror.base, lambda line: None)
    assert fetched(tmp_path) == miniature.content
    assert [path for path, _ in web_mirror.requests].count(f"/mnist/{FIRST}.gz") == 1


def part_of(root: Path, base: str) -> Path:
    """The part file that an earlier call would have left of the first file."""
    folder = raw_folder(root, "mnist")
    folder.mkdir(parents=True, exist_ok=True)
    url = f"{base}/mnist/{FIRST}.gz"
    return folder / f"{FIRST}.gz.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"


@pytest.mark.parametrize("left", [b"other bytes", b"x" * 100_000], ids=["shorter", "longer"])
def test_a_part_of_something_else_is_started_over(left: bytes, web_mirror, miniature, tmp_path: Path) -> None:
    part_of(tmp_path, web_mirror.base).write_bytes(left)
    fetch("mnist", tmp_path, web_mirror.base, lambda line: None)
    path = f"/mnist/{FIRST}.gz"
    assert web_mirror.requests[:2] == [(path, f"bytes={len(left)}-"), (path, None)]
    assert fetched(tmp_path) == miniature.content


@pytest.mark.parametrize("fault", ["ignore_range", "wrong_range"])
def test_a_server_that_does_not_resume_makes_it_start_over(
    fault: str, web_mirror, miniature, tmp_path: Path
) -> None:
    setattr(web_mirror, fault, True)
    web_mirror.break_after = [1000]
    said: list[str] = []
    fetch("mnist", tmp_path, web_mirror.base, said.append)
    assert fetched(tmp_path) == miniature.content
    assert said[0] == f"mnist: {FIRST}: the source does not resume, starting over"


def test_a_server_that_always_breaks_off_at_one_place_is_given_up(web_mirror, tmp_path: Path) -> None:
    web_mirror.ignore_range = True
    web_mirror.break_after = [1000] * 50
    assert "broke off after 1000 of" in refused(tmp_path, web_mirror.base)
    assert len(web_mirror.requests) == 2


def test_a_cut_that_the_server_does_not_announce_is_noticed(web_mirror, miniature, tmp_path: Path) -> None:
    web_mirror.close_delimited = True
    web_mirror.break_after = [1000]
    expected = hashlib.sha256(miniature.content[FIRST]).hexdigest()
    message = refused(tmp_path, web_mirror.base)
    assert f"{FIRST}.gz (truncated, SHA-256 is " in message
    assert f", expected {expected})" in message
    assert fetched(tmp_path) == {}


def tampered(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("way", ["folder", "web"])
def test_a_tampered_download_is_refused(way: str, web_mirror, miniature, tmp_path: Path) -> None:
    good = miniature.content[FIRST]
    bad = tampered(good)
    miniature.wrapped[f"{FIRST}.gz"] = web_mirror.files[f"/mnist/{FIRST}.gz"] = gzip.compress(bad)
    mirror = web_mirror.base if way == "web" else str(miniature.mirror(tmp_path / "mirror"))
    assert refused(tmp_path, mirror) == (
        f"mnist: {FIRST} could not be fetched from any source: {mirror}/mnist/{FIRST}.gz "
        f"(SHA-256 is {hashlib.sha256(bad).hexdigest()}, expected {hashlib.sha256(good).hexdigest()}). "
        f"A folder or URL that holds mnist/{FIRST}.gz can serve as a mirror: "
        "`repro fetch mnist --mirror FOLDER_OR_URL`"
    )
    assert fetched(tmp_path) == {}


@pytest.mark.parametrize(
    ("served", "fault"),
    [
        (lambda whole: whole[:-200], "truncated, SHA-256 is "),
        (lambda whole: b"<html>log in first</html>", "damaged, SHA-256 is "),
        (lambda whole: whole[:40] + bytes(40) + whole[80:], "SHA-256 is "),
    ],
    ids=["truncated", "page", "overwritten"],
)
def test_a_damaged_mirror_is_refused(served, fault: str, miniature, tmp_path: Path) -> None:
    miniature.wrapped[f"{FIRST}.gz"] = served(miniature.wrapped[f"{FIRST}.gz"])
    message = refused(tmp_path, str(miniature.mirror(tmp_path / "mirror")))
    assert f"{FIRST}.gz (" in message
    assert fault in message
    assert fetched(tmp_path) == {}


def test_a_bomb_is_not_unpacked_to_its_end(miniature, tmp_path: Path) -> None:
    bomb = bytes(100_000_000)
    miniature.wrapped[f"{FIRST}.gz"] = gzip.compress(bomb)
    message = refused(tmp_path, str(miniature.mirror(tmp_path / "mirror")))
    assert "(too long, SHA-256 is " in message
    assert hashlib.sha256(bomb).hexdigest() not in message
    assert fetched(tmp_path) == {}


def test_an_endless_download_is_cut_short(web_mirror, tmp_path: Path) -> None:
    web_mirror.files[f"/mnist/{FIRST}.gz"] = bytes(3_000_000)
    assert "sends more than the " in refused(tmp_path, web_mirror.base)
    assert fetched(tmp_path) == {}


def test_the_second_source_serves_when_the_first_is_dead(
    web_mirror, miniature, dead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources(monkeypatch, f"{dead}/mnist", f"{web_mirror.base}/mnist")
    said: list[str] = []
    fetch("mnist", tmp_path, say=said.append)
    assert fetched(tmp_path) == miniature.content
    assert said[:2] == [
        f"mnist: {FIRST} failed from {dead}/mnist/{FIRST}.gz: Connection refused",
        f"mnist: {FIRST} fetched from {web_mirror.base}/mnist/{FIRST}.gz (verified)",
    ]
    assert not any("failed" in line for line in said[2:]), "a source that failed is tried last afterwards"


def test_the_mirror_is_tried_before_the_public_sources(
    web_mirror, miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources(monkeypatch, f"{web_mirror.base}/mnist")
    mirror = miniature.mirror(tmp_path / "mirror")
    (mirror / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    said: list[str] = []
    fetch("mnist", tmp_path, str(mirror), said.append)
    assert [path for path, _ in web_mirror.requests] == ["/mnist/t10k-labels-idx1-ubyte.gz"]
    assert said[3].endswith("mnist/t10k-labels-idx1-ubyte.gz: No such file or directory")
    assert fetched(tmp_path) == miniature.content


def test_when_all_sources_fail_each_is_named_with_its_reason(
    web_mirror, dead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources(monkeypatch, f"{dead}/mnist", f"{web_mirror.base}/elsewhere")
    assert refused(tmp_path, None) == (
        f"mnist: {FIRST} could not be fetched from any source: "
        f"{dead}/mnist/{FIRST}.gz (Connection refused); "
        f"{web_mirror.base}/elsewhere/{FIRST}.gz (HTTP 404 Not Found). "
        f"A folder or URL that holds mnist/{FIRST}.gz can serve as a mirror: "
        "`repro fetch mnist --mirror FOLDER_OR_URL`"
    )


def test_a_silent_server_is_given_up(miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        message = refused(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "(no answer within 0.2 s)" in message


@pytest.mark.parametrize(
    ("mirror", "reason"),
    [
        ("nowhere/at/all", "mirror 'nowhere/at/all': no such folder"),
        ("file:///nowhere/at/all", "mirror 'file:///nowhere/at/all': no such folder"),
        ("ftp://host/data", "mirror 'ftp://host/data': must be a folder or a file, http or https URL"),
        ("http://", "mirror 'http://': must be a folder or a file, http or https URL"),
        ("http://[half", "mirror 'http://[half': not a URL (Invalid IPv6 URL)"),
    ],
)
def test_a_mirror_that_is_none_is_refused(mirror: str, reason: str, miniature, tmp_path: Path) -> None:
    assert refused(tmp_path, mirror) == reason


class FullDisk(io.BytesIO):
    """A file on a disk that has no room left."""

    def write(self, block: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["part file", "unpacked file"])
def test_a_full_disk_ends_in_one_line(
    where: str, web_mirror, miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = Path.open
    ending = {"part file": ".part", "unpacked file": ".unverified"}[where]

    def open_on_full_disk(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if path.name.endswith(ending) and mode != "rb":
            really_open(path, mode).close()
            return FullDisk()
        return really_open(path, mode, *rest, **more)

    with monkeypatch.context() as full:
        full.setattr(Path, "open", open_on_full_disk)
        message = refused(tmp_path, web_mirror.base)
    folder = raw_folder(tmp_path, "mnist")
    assert message == (
        f"mnist: disk full while writing in {folder}; "
        "free some space and run `repro fetch mnist` again, it continues from there"
    )
    assert all(name.endswith(".part") for name in fetched(tmp_path))
    assert not list(folder.glob("*.unverified"))
    assert len(web_mirror.requests) == 1, "a full disk is not the source's fault"
    fetch("mnist", tmp_path, web_mirror.base, lambda line: None)
    assert fetched(tmp_path) == miniature.content


def test_a_folder_that_cannot_be_made_is_named(miniature, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder belongs")
    assert refused(tmp_path, None) == f"{tmp_path}/data/raw/mnist: cannot write (Not a directory)"


def test_a_second_fetch_at_the_same_time_says_so(web_mirror, tmp_path: Path) -> None:
    folder = raw_folder(tmp_path, "mnist")
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        assert refused(tmp_path, web_mirror.base) == f"mnist: another `repro fetch` is at work in {folder}"
    assert web_mirror.requests == []


def test_a_dataset_that_ships_with_a_package_needs_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    fetch("digits", tmp_path, say=said.append)
    assert said == ["digits: nothing to fetch, it ships inside an installed package"]
    assert not (tmp_path / "data").exists()


def test_lines_go_to_stderr_unless_told_otherwise(
    miniature, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("mnist", tmp_path, str(miniature.mirror(tmp_path / "mirror")))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 4
