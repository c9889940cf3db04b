"""From the records of an experiment's phases to its evidence: the table, its fingerprint, its provenance."""

from pathlib import Path

from repro import plugins
from repro.errors import ReproError
from repro.files import checksum, write_json
from repro.harness.evidence.equivalence import forget_others, resolved
from repro.harness.evidence.fingerprint import (
    evidence_fingerprint,
    evidence_path,
    is_others,
    phase_digest,
)
from repro.harness.evidence.phases import read_phase
from repro.harness.evidence.provenance import provenance
from repro.harness.evidence.table import table, write_table
from repro.harness.experiment import Experiment
from repro.harness.profile import Profile


def make_evidence(root: Path, profile: Profile, name: str) -> Path:
    """Write an experiment's table and the files beside it; returns the table's path.

    If the profile leaves the experiment out, the table has no rows, and the reason is written beside it. Raises
    ReproError when a phase is missing, or was made by code, parameters or data other than the present ones.
    """
    if name in profile.leaves_out:
        return _none(root, profile, name)
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    fingerprint = resolved(root, profile.name, name, evidence_fingerprint(profile, name))
    records, abouts = {}, []
    for phase in experiment.phases:
        records[phase.name], about = read_phase(root, profile.name, name, phase.name)
        if about["fingerprint"] != phase_digest(fingerprint, phase.name):
            raise ReproError(f"{name} {phase.name}: its records are stale; `dvc repro` makes them anew")
        abouts.append(about)
    path = evidence_path(root, profile.name, name)
    write_table(path, table(experiment.rows(profile, records)))
    data = next((p["data"] for p in fingerprint["phases"].values() if p["data"]), None)
    write_json(
        path.with_suffix(".provenance.json"),
        provenance(
            root, data and data | {"variant": abouts[0]["variant"]}, abouts, others=is_others(fingerprint)
        ),
    )
    write_json(path.with_suffix(".fingerprint.json"), fingerprint | {"table": checksum(path)})
    forget_others(root, profile.name, name)
    return path


def _none(root: Path, profile: Profile, name: str) -> Path:
    path = evidence_path(root, profile.name, name)
    write_table(path, table([]))
    for beside in (".provenance.json", ".fingerprint.json"):
        write_json(path.with_suffix(beside), {"left out": profile.leaves_out[name]})
    return path
