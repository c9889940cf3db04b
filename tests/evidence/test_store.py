"""The store's entries appear whole or not at all, and one process trains at a time."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro.errors import ReproError
from repro.harness.evidence import store as store_module
from repro.harness.evidence.store import Store

HOLDER = """
import sys
from pathlib import Path
from repro.harness.evidence.store import Store
with Store(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.readline()
"""
ENTRY = {"record": {"asr": 0.5}, "seconds": 1.0, "device": "cpu", "variant": None}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def content(store: Store) -> list[str]:
    return sorted(str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file())


def test_an_entry_is_there_once_it_was_added(store: Store) -> None:
    assert store.entry("abc") is None
    assert store.finished() == store.finished(with_weights=True) == set()
    store.add("abc", ENTRY)
    store.add("abd", ENTRY, b"weights")
    assert store.entry("abc") == store.entry("abd") == ENTRY
    assert store.finished() == {"abc", "abd"}
    assert store.finished(with_weights=True) == {"abd"}
    assert store.weights("abd").read_bytes() == b"weights"
    assert content(store) == ["ab/abc.json", "ab/abd.json", "ab/abd.safetensors"]


def test_weights_are_written_before_what_makes_the_entry(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, seen = os.replace, []

    def watched(source: str, target: Path) -> None:
        seen.append(target.name)
        replace(source, target)

    monkeypatch.setattr(store_module.os, "replace", watched)
    store.add("abc", ENTRY, b"weights")
    assert seen == ["abc.safetensors", "abc.json"]


@pytest.mark.parametrize("weights", [None, b"weights"])
def test_nothing_is_left_of_an_entry_that_is_interrupted(
    store: Store, weights: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(source: str, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store_module.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.add("abc", ENTRY, weights)
    assert content(store) == []
    assert store.entry("abc") is None


def test_full_disk_is_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store_module.os, "replace", full)
    message = r"store: cannot write \(No space left on device\); what was finished before is kept$"
    with pytest.raises(ReproError, match=message):
        store.add("abc", ENTRY, b"weights")
    assert content(store) == []


def test_store_that_cannot_be_made_is_one_line(store: Store) -> None:
    (store.root / ".repro").write_text("", encoding="utf-8")
    with pytest.raises(ReproError, match=r"store: cannot write \(.*\); what was"):
        store.add("abc", ENTRY)


@pytest.mark.parametrize("torn", [b"", b"{", b"\0" * 50, b"[]", b"{}", b'{"record":{"asr":0.'])
def test_what_a_power_cut_leaves_is_no_entry(store: Store, torn: bytes) -> None:
    store.add("abc", ENTRY)
    (store.folder / "ab" / "abc.json").write_bytes(torn)
    assert store.entry("abc") is None
    store.add("abc", ENTRY)
    assert store.entry("abc") == ENTRY


def test_weights_alone_are_no_entry(store: Store) -> None:
    store.add("abc", ENTRY, b"weights")
    (store.folder / "ab" / "abc.json").unlink()
    assert store.entry("abc") is None
    assert store.finished() == store.finished(with_weights=True) == set()


def test_lock_held_by_another_process_names_it(store: Store) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        message = (
            rf"^another run \(process {holder.pid}\) is training in .*store; wait for it, or stop it first$"
        )
        with pytest.raises(ReproError, match=message), store.locked():
            pytest.fail("two processes hold the store")
        holder.kill()
    with store.locked():
        assert (store.folder / "owner").read_text(encoding="utf-8") == str(os.getpid())


def test_leftovers_of_a_killed_process_are_removed(store: Store) -> None:
    store.add("abc", ENTRY)
    left = store.folder / "ab" / ".new-abc"
    left.write_text("{", encoding="utf-8")
    assert store.finished() == {"abc"}
    with store.locked():
        assert not left.exists()
        assert store.entry("abc") == ENTRY
