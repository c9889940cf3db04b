"""Evidence of a user's own paper follows that paper's code, definition by definition."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from own_project import TRIGGER, Write, forget

from repro.errors import ReproError
from repro.files import checksum, write_json
from repro.harness.evidence.attest import attest
from repro.harness.evidence.definitions import definitions
from repro.harness.evidence.fingerprint import evidence_fingerprint, evidence_path, is_others, staleness
from repro.harness.evidence.table import table, write_table
from repro.harness.profile import load_profile
from repro.new import write_paper

Change = Callable[[str, str, str], None]
FRAME = "triggers/mine_frame.py"


@pytest.fixture
def change(project: Path) -> Change:
    """A written paper with evidence nobody trained for; the function replaces some of a file's text."""
    write_paper(project, "mine")
    path = evidence_path(project, "mine", "mine_rate")
    write_table(path, table([{"run": "ra", "asr": 0.5}]))
    fingerprint = evidence_fingerprint(load_profile("mine", project), "mine_rate")
    write_json(path.with_suffix(".fingerprint.json"), fingerprint | {"table": checksum(path)})

    def replace(file: str, before: str, after: str) -> None:
        own = project / "papers" / "mine" / file
        text = own.read_text(encoding="utf-8")
        assert before in text
        own.write_text(text.replace(before, after, 1), encoding="utf-8")
        forget()

    return replace


def stale(project: Path) -> str | None:
    return staleness(project, "mine", "mine_rate")


def test_nothing_changed_is_current_and_so_is_what_means_the_same(project: Path, change: Change) -> None:
    assert stale(project) is None
    change(FRAME, "A frame around", "Another frame around")
    change(FRAME, "would cover", "covers")
    change("claims.yaml", "minimum: 0.05", "minimum: 0.10")
    assert stale(project) is None


@pytest.mark.parametrize(
    ("file", "before", "after", "name"),
    [
        (FRAME, "full_like(mask, value)", "full_like(mask, 1 - value)", "triggers/mine_frame.py: pattern"),
        (FRAME, "1 <= width <", "2 <= width <", "triggers/mine_frame.py: check"),
        ("experiments/mine_rate/__init__.py", '"poisoned"', '"other"', "experiments/mine_rate.py: _rows"),
    ],
)
def test_a_changed_definition_makes_it_stale(
    file: str, before: str, after: str, name: str, project: Path, change: Change
) -> None:
    change(file, before, after)
    assert stale(project) == (
        f"reports/mine/evidence/mine_rate.csv: stale: code changed: papers/mine/{name}; "
        "`repro run mine_rate` brings it up to date"
    )


def test_code_that_papers_share_counts_however_it_is_imported(project: Path, write: Write) -> None:
    write("near/beside.py", "VALUE = 1\n")
    write("../shared.py", "def one():\n    return 1\n\n\ndef two():\n    return 2\n")
    for line, use in (
        ("from papers.shared import one", "one()"),
        ("from papers import shared", "shared.one()"),
        ("import papers.shared", "papers.shared.one()"),
        ("from ...shared import one", "one()"),
        ("from ... import shared", "shared.one()"),
    ):
        write(
            "triggers/ring.py",
            f"{line}\nfrom ..near import beside\n\n\ndef check():\n    return {use}, beside.VALUE\n",
        )
        forget()
        found = definitions([("papers.mine.triggers.ring", "check")], frozenset())
        assert found.keys() == {
            "papers.mine.triggers.ring:check",
            "papers.shared:one",
            "papers.mine.near.beside:VALUE",
        }


def test_importing_everything_is_refused(project: Path, write: Write) -> None:
    write("near.py", "VALUE = 1\n")
    write("triggers/ring.py", "from papers.mine.near import *\n\n\ndef check():\n    return VALUE\n")
    with pytest.raises(ReproError, match=r"triggers/ring\.py:1: import \* hides what evidence depends on$"):
        definitions([("papers.mine.triggers.ring", "check")], frozenset())


def test_attesting_it_is_refused(project: Path, change: Change) -> None:
    change(FRAME, "full_like(mask, value)", "full_like(mask, 1 - value)")
    message = r"stale: code changed: .*; `repro attest` compares commits of this package's own code only$"
    with pytest.raises(ReproError, match=message):
        attest(project, load_profile("mine", project), ["mine_rate"], {}, print)


def test_only_evidence_that_reaches_a_users_code_counts_as_theirs(project: Path, write: Write) -> None:
    assert not is_others(evidence_fingerprint(load_profile("tiny", project), "poison_rate"))
    write("triggers/ring.py", TRIGGER)
    write("profiles/less.yaml", "title: l\nslice_of: tiny\ntriggers: {ring: {alpha: 1.0}}\n")
    fingerprint = evidence_fingerprint(load_profile("less", project), "poison_rate")
    assert is_others(json.loads(json.dumps(fingerprint)))
