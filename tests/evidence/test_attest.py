"""What counts as executed, which runs stand witness, and which attestations are believed.

`tests/pipeline/test_attest.py` attests in a project of its own.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repro import plugins
from repro.errors import ReproError
from repro.files import write_json
from repro.harness.evidence import definitions, equivalence, tracing
from repro.harness.evidence.both import differences
from repro.harness.evidence.equivalence import attested_path, changes, code_of, read_attested, resolved
from repro.harness.evidence.tracing import Trace, executed
from repro.harness.evidence.witnesses import witnesses
from repro.harness.experiment import Experiment
from repro.harness.profile import load_profile
from repro.harness.runs import digest

SOURCE = """
from dataclasses import dataclass

BASE = 2
USED = BASE + 1
UNUSED = 5

def called():
    return inner()() + USED

def inner():
    def nested():
        return 1
    return nested

def never():
    return UNUSED

class Bare:
    field = USED

class Quiet:
    def method(self):
        return 1

@dataclass
class Made:
    number: int
    def never(self):
        return 1

def makes():
    return Made(1), Bare
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A module of a package of its own, ``repro.sample``, as executed."""
    package = tmp_path / "repro"
    package.mkdir()
    (package / "sample.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(definitions, "PACKAGE", package)
    monkeypatch.setattr(tracing, "PACKAGE", package)
    definitions.module_of.cache_clear()
    names: dict[str, Any] = {"__name__": "repro.sample"}
    exec(compile(SOURCE, str(package / "sample.py"), "exec"), names)
    yield names
    definitions.module_of.cache_clear()


def ran(trace: Trace) -> set[str]:
    return {name.partition(":")[2] for name in executed(trace) if name.startswith("repro.sample:")}


def test_what_is_called_counts_with_the_constants_it_rests_on(module: dict[str, Any]) -> None:
    with Trace() as trace:
        module["called"]()
    assert ran(trace) == {"called", "inner", "USED", "BASE", "(module)"}


def test_classes_count_when_made_or_without_code_of_their_own(module: dict[str, Any]) -> None:
    with Trace() as trace:
        module["makes"]()
    assert ran(trace) == {"makes", "Made", "Bare", "USED", "BASE", "(module)"}
    with Trace() as trace:
        module["Quiet"]().method()
    assert ran(trace) == {"Quiet", "(module)"}


def test_a_compiled_function_counts_with_those_it_calls(module: dict[str, Any], monkeypatch: Any) -> None:
    class Dispatcher:
        def __init__(self, name: str, signatures: list[str]) -> None:
            self.py_func, self.signatures = module[name], signatures

    dispatchers = {
        "repro.sample:called": Dispatcher("called", ["()"]),
        "repro.sample:inner": Dispatcher("inner", []),
        "repro.sample:never": Dispatcher("never", []),
    }
    monkeypatch.setattr(tracing, "_compiled", lambda: iter(dispatchers.items()))
    with Trace() as trace:
        pass
    assert ran(trace) == {"called", "inner", "USED", "BASE", "(module)"}


def test_every_piece_of_every_phase_has_a_witness_and_some_are_drawn_by_the_change() -> None:
    profile = load_profile("tiny", Path())
    experiments: dict[str, Experiment] = {
        name: plugins.load("experiment", name).EXPERIMENT for name in profile.experiments
    }
    phases = {name: {phase.name for phase in each.phases} for name, each in experiments.items()}
    chosen = [witnesses(profile, phases, seed, dict.fromkeys(phases, 1.0)) for seed in ("a", "a", "b")]
    assert chosen[0] == chosen[1] != chosen[2]
    wanted, found = set(), set()
    for name, each in experiments.items():
        for phase in each.phases:
            for run in (run for fleet in phase.planned(profile) for run in fleet.runs):
                pieces = {(phase.work, piece) for piece in run.pieces()}
                wanted |= pieces
                found |= pieces if run.id in chosen[0][name].get(phase.name, []) else set()
    assert wanted == found


def test_differences_are_named_as_written() -> None:
    before = {"asr": [0.5, 1.0], "epochs": 3, "same": None}
    after = {"asr": [0.5, 1], "epochs": 4, "same": None}
    assert list(differences(before, after)) == ["asr[1] 1.0 -> 1", "epochs 3 -> 4"]


def fingerprint(**code: str) -> dict[str, Any]:
    return {"schema": 2, "phases": {"train": {"runs": "r", "code": code}}, "rows": {"r:rows": "1"}}


def link(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    old, new = code_of(before), code_of(after)
    runs = {digest(new): digest(old)}
    return {"before": digest(old), "after": digest(new), "changed": changes(old, new), "runs": runs}


A, B, C = fingerprint(f="1", g="1"), fingerprint(f="2", g="1"), fingerprint(f="2", h="1")


@pytest.fixture
def attested(tmp_path: Path) -> Path:
    """Evidence made by A, with A to B and B to C attested."""
    path = attested_path(tmp_path, "tiny", "sources")
    write_json(path.with_name("sources.fingerprint.json"), A | {"table": "t"})
    write_json(path, {"schema": 1, "table": "t", "links": [link(A, B), link(B, C)]})
    return path


def test_a_chain_leads_to_the_code_that_made_the_evidence(
    attested: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    assert [resolved(tmp_path, "tiny", "sources", each) for each in (A, B, C)] == [A, A, A]
    other = fingerprint(f="3", g="1")
    assert resolved(tmp_path, "tiny", "sources", other) == other
    monkeypatch.chdir(tmp_path)
    assert equivalence.code_root(digest(code_of(C))) == digest(code_of(A))
    assert equivalence.code_root("unknown") == "unknown"


def test_parameters_are_not_attested(attested: Path, tmp_path: Path) -> None:
    changed = fingerprint(f="2", g="1")
    changed["phases"]["train"]["runs"] = "others"
    assert resolved(tmp_path, "tiny", "sources", changed)["phases"]["train"]["runs"] == "others"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: content.update(table="other"), "not of the table beside it"),
        (lambda content: content.update(schema=2), "not of the table beside it"),
        (lambda content: content["links"].pop(0), "link 1 does not lead"),
        (lambda content: content["links"][1].update(after="x"), "link 2 does not lead"),
        (lambda content: content["links"][0]["changed"].clear(), "link 1 does not lead"),
        (lambda content: content.pop("links"), "not an attestation"),
    ],
)
def test_an_edited_attestation_is_refused(attested: Path, spoil: Any, said: str) -> None:
    content = json.loads(attested.read_text(encoding="utf-8"))
    spoil(content)
    write_json(attested, content)
    with pytest.raises(ReproError, match=said):
        read_attested(attested)


def test_attestations_of_evidence_made_anew_are_forgotten(attested: Path, tmp_path: Path) -> None:
    equivalence.forget_others(tmp_path, "tiny", "sources")
    assert attested.exists()
    write_json(attested.with_name("sources.fingerprint.json"), C | {"table": "t"})
    equivalence.forget_others(tmp_path, "tiny", "sources")
    assert not attested.exists()


def test_what_was_attested_is_said_with_what_was_taken_on_trust(attested: Path, tmp_path: Path) -> None:
    assert equivalence.attested(tmp_path, "tiny", "sources") == "code changed and attested 2 times"
    assert equivalence.attested(tmp_path, "tiny", "exposure") is None
    content = json.loads(attested.read_text(encoding="utf-8"))
    content["links"][1]["accepted"] = {"repro.harness.workers:Workers": "says more"}
    write_json(attested, content)
    wanted = (
        "code changed and attested 2 times, accepted without proof: repro.harness.workers:Workers: says more"
    )
    assert equivalence.attested(tmp_path, "tiny", "sources") == wanted
