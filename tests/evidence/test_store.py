"""The store's entries appear whole or not at all, and one process trains at a time."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro.errors import ReproError
from repro.evidence import store as store_module
from repro.evidence.files import write_json, write_text
from repro.evidence.fingerprint import phase_fingerprint
from repro.evidence.store import RECORDS, Store, key_of
from repro.experiments import exposure
from repro.experiments.tuning import EXPERIMENT
from repro.profiles import Profile, load_profile

HOLDER = """
import sys
from pathlib import Path
from repro.evidence.store import Store
with Store(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def content(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def test_entry_appears_when_the_block_ends(store: Store) -> None:
    assert store.entry("k") is None
    with store.adding("k") as folder:
        write_json(folder / RECORDS, {"records": [], "seconds": 1.0, "device": "cpu"})
        assert store.entry("k") is None
    entry = store.entry("k")
    assert entry == store.folder / "k"
    assert store.records("k") == {"records": [], "seconds": 1.0, "device": "cpu"}
    assert content(store) == ["k"]


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_a_block_that_fails(store: Store, problem: type[BaseException]) -> None:
    def fill_and_fail() -> None:
        with store.adding("k") as folder:
            write_json(folder / RECORDS, {})
            raise problem

    with pytest.raises(problem):
        fill_and_fail()
    assert store.entry("k") is None
    assert content(store) == []


def test_full_disk_is_one_line(store: Store) -> None:
    message = r"store: cannot write \(No space left on device\); what was finished before is kept$"
    with pytest.raises(ReproError, match=message), store.adding("k"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert content(store) == []


def test_store_that_cannot_be_made_is_one_line(store: Store) -> None:
    (store.root / ".repro").write_text("", encoding="utf-8")
    with pytest.raises(ReproError, match=r"store: cannot write \(.*\); what was"), store.adding("k"):
        pytest.fail("there is no folder to fill")


def test_a_folder_without_records_is_no_entry(store: Store) -> None:
    (store.folder / "k").mkdir(parents=True)
    assert store.entry("k") is None


def test_the_first_of_two_equal_entries_stays(store: Store) -> None:
    for text in ("first", "second"):
        with store.adding("k") as folder:
            write_text(folder / RECORDS, text)
    assert (store.folder / "k" / RECORDS).read_text(encoding="utf-8") == "first"
    assert content(store) == ["k"]


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
    left = store.folder / ".new-abc"
    left.mkdir(parents=True)
    (left / RECORDS).write_text("{", encoding="utf-8")
    with store.adding("k") as folder:
        write_json(folder / RECORDS, {})
    with store.locked():
        assert not left.exists()
        assert store.entry("k")


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    return load_profile("digits", tmp_path)


def test_key_stands_for_everything_the_outcome_depends_on(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase = EXPERIMENT.phases[0]
    fingerprint = phase_fingerprint(profile, phase)
    first, second, *_ = phase.fleets(profile)

    def key(**changed: object) -> str:
        return key_of(profile, phase, fingerprint | changed, first)

    same = key()
    others = [
        key(code={**fingerprint["code"], "repro.training.fleet": "another"}),
        key(data={**fingerprint["data"], "sha256": "another"}),
        key_of(profile, phase, fingerprint, second),
        key_of(profile.model_copy(update={"device": "cuda"}), phase, fingerprint, first),
    ]
    monkeypatch.setattr(store_module, "version", lambda name: "1.0.0")
    others.append(key())
    assert len({same, *others}) == 1 + len(others)
    monkeypatch.setattr(store_module, "version", lambda name: "1.0.0+cpu")
    assert key() == others[-1]
    monkeypatch.undo()
    assert key(runs="other fleets of the phase") == same == key()


def test_key_changes_with_the_weights_that_a_fleet_goes_on_from(profile: Profile) -> None:
    """A victim's description does not say how long the encoder was trained that it starts from."""
    phase = exposure.EXPERIMENT.phases[1]
    settings = profile.experiments["exposure"] | {"encoder_epochs": 7}
    other = profile.model_copy(update={"experiments": profile.experiments | {"exposure": settings}})
    fingerprint = phase_fingerprint(profile, phase)
    fleets = [phase.fleets(changed)[-1] for changed in (profile, other)]
    assert fleets[0].id == fleets[1].id
    one, two = (key_of(p, phase, fingerprint, f) for p, f in zip((profile, other), fleets, strict=True))
    assert one != two
