"""The gate: whether each claim's verdict is the one that `claims/expected/<profile>.yaml` expects.

Fails when a verdict differs (even when it improved: the file is then to be updated), when evidence is missing or stale,
when the committed verdicts.json is not what the evidence gives, when a claim has no entry, or when an entry has no
claim.
"""

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel, model_validator

from repro.claims.catalogue import Claim, load_claims
from repro.claims.facts import ProfileFacts, profile_facts
from repro.claims.judge import judge, verdicts_path
from repro.claims.rules import Outcome
from repro.claims.verdicts import Verdict
from repro.errors import ReproError
from repro.harness.evidence.fingerprint import evidence_path, staleness
from repro.harness.evidence.table import Table, read_table
from repro.reading import checked, read_yaml


class Expected(BaseModel):
    """A claim's expected verdict, with a reason unless it is reproduced or, for a table, reported."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Outcome
    reason: str | None = None

    @model_validator(mode="after")
    def _reason_given(self) -> "Expected":
        if self.verdict not in ("reproduced", "reported") and not (self.reason and self.reason.strip()):
            raise ValueError(f"a verdict {self.verdict!r} needs a reason")
        return self


class _ExpectedFile(RootModel[dict[str, Expected]]):
    pass


def expected_path(root: Path, profile_name: str) -> Path:
    """The file of a profile's expected verdicts."""
    return root / "claims" / "expected" / f"{profile_name}.yaml"


def expected_profiles(root: Path) -> list[str]:
    """Profiles that have a file of expected verdicts; raises ReproError if no profile has one."""
    folder = expected_path(root, "any").parent
    profiles = sorted(path.stem for path in folder.glob("*.yaml"))
    if not profiles:
        raise ReproError(f"{folder}: no profile has a file of expected verdicts here")
    return profiles


def read_expected(root: Path, profile_name: str) -> dict[str, Expected]:
    """Expected verdicts by claim id; ReproError names the file and the field."""
    path = expected_path(root, profile_name)
    if not path.is_file():
        others = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise ReproError(f"{path}: no such file; profiles with expected verdicts: {others}")
    return checked(_ExpectedFile, read_yaml(path) or {}, str(path)).root


class Gate:
    """The gate of one profile: its claims and entries, and what is wrong with each."""

    def __init__(self, root: Path, profile_name: str) -> None:
        self.root = root
        self.profile_name = profile_name
        self.expected = read_expected(root, profile_name)
        self.facts: ProfileFacts = profile_facts(root, profile_name)
        self.claims: dict[str, Claim] = self.facts.among(load_claims())
        self.ids = tuple(dict.fromkeys((*self.claims, *self.expected)))
        self._tables: dict[str, Table] = {}
        self._staleness: dict[str, str | None] = {}

    def failure(self, claim_id: str) -> str | None:
        """What is wrong with the claim, in words for the reader of the test's output; None if nothing."""
        file = expected_path(self.root, self.profile_name)
        if claim_id not in self.claims:
            return f"{file}: entry {claim_id} has no claim; remove it, or correct its id"
        try:
            verdict = self._judge(self.claims[claim_id])
        except ReproError as error:
            return str(error)
        if claim_id not in self.expected:
            return f"{file}: claim {claim_id} has no entry; today it is {verdict.verdict} ({verdict.reason})"
        wanted = self.expected[claim_id].verdict
        if verdict.verdict != wanted:
            better = " for the better" if verdict.verdict == "reproduced" else ""
            return (
                f"{claim_id} in profile {self.profile_name} is {verdict.verdict}, expected {wanted}: "
                f"{verdict.reason}. If the change{better} is right, update {file}"
            )
        return self._disagreement(verdict)

    def _judge(self, claim: Claim) -> Verdict:
        wanted = [name for name in claim.experiments if name in self.facts.experiments]
        for experiment in wanted:
            stale = self._stale(experiment)
            if stale:
                raise ReproError(stale)
            if experiment not in self._tables:
                self._tables[experiment] = read_table(evidence_path(self.root, self.profile_name, experiment))
        return judge(claim, self._tables, self.facts)

    def _stale(self, experiment: str) -> str | None:
        if experiment not in self._staleness:
            self._staleness[experiment] = staleness(self.root, self.profile_name, experiment)
        return self._staleness[experiment]

    @cached_property
    def _committed(self) -> dict[str, dict[str, Any]]:
        path = verdicts_path(self.root, self.profile_name)
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
            return {entry["id"]: entry for entry in listed}
        except FileNotFoundError:
            raise ReproError(f"{path}: no such file; `dvc repro` writes it") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ReproError(f"{path}: not a list of verdicts ({error})") from None

    def _disagreement(self, verdict: Verdict) -> str | None:
        """Whether the committed verdicts differ by more than another processor's rounding explains."""
        path = verdicts_path(self.root, self.profile_name)
        try:
            committed = self._committed.get(verdict.id)
        except ReproError as error:
            return str(error)
        if committed is None:
            return f"{path}: no verdict of {verdict.id}; `dvc repro` writes it anew"
        judged = verdict.model_dump(mode="json")
        for field in ("verdict", "estimate", "interval", "level", "n", "published"):
            if not _same(committed.get(field), judged[field]):
                return (
                    f"{path}: {verdict.id}: {field} is {committed.get(field)}, but the evidence gives "
                    f"{judged[field]}; `dvc repro` writes it anew"
                )
        if verdict.verdict == "reported" and not _same(_figures(committed), _figures(judged)):
            return (
                f"{path}: {verdict.id}: its figures are not those that the evidence gives; "
                "`dvc repro` writes them anew"
            )
        return None


def _figures(entry: dict[str, Any]) -> list[list[Any]] | None:
    """Name, estimate, interval and n of each figure in a table's verdict; None if it has no such list."""
    try:
        return [[part[key] for key in ("name", "estimate", "interval", "n")] for part in entry["parts"]]
    except (KeyError, TypeError):
        return None


def _same(committed: Any, judged: Any) -> bool:
    if isinstance(judged, list) and isinstance(committed, list):
        return len(judged) == len(committed) and all(map(_same, committed, judged))
    if isinstance(judged, float) and isinstance(committed, int | float):
        return math.isclose(committed, judged, rel_tol=1e-6, abs_tol=1e-9)
    return bool(committed == judged)
