"""Train named runs with this process's code, without the project's store, and report the outcome of each.

The other end of `repro attest`, which starts it in two trees: the format it reads and writes is a contract between
commits.
"""

import hashlib
import importlib
import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repro import plugins
from repro.errors import ReproError
from repro.files import write_json
from repro.harness.evidence.definitions import PACKAGE
from repro.harness.evidence.fingerprint import code, evidence_fingerprint
from repro.harness.evidence.keys import Job, jobs
from repro.harness.evidence.store import Store
from repro.harness.evidence.tracing import Trace, executed
from repro.harness.experiment import Experiment
from repro.harness.profile import Profile, load_profile
from repro.harness.runs import digest
from repro.harness.task import Task
from repro.harness.workers import IMPORTED


def witness(root: Path, profile_name: str, runs: Path, out: Path) -> None:
    """Train the runs that the file ``runs`` names, by experiment and phase, and write their outcomes to ``out``.

    Written are, by experiment, its ``fingerprint``, the digest of the code of every kind of run, and by ``phase run``
    the ``record`` and the SHA-256 of each weight; the ``package`` that was used, the definitions ``executed``, the
    ``device`` (None where nothing is trained) and ``seconds``. The data are those of ``root``.
    """
    named: dict[str, dict[str, list[str]]] = json.loads(runs.read_text(encoding="utf-8"))
    trains = any(chosen for own in named.values() for chosen in own.values())
    for module in IMPORTED if trains else ():  # code outside this package is not watched
        importlib.import_module(module)
    began = time.monotonic()
    found: dict[str, Any] = {}
    with Trace() as trace, tempfile.TemporaryDirectory(prefix="repro-witness-") as folder:
        profile = load_profile(profile_name, root)
        device = _prepare(profile.device) if trains else None
        for name, chosen in named.items():
            outcomes = _train(root, Store(Path(folder)), profile, name, chosen)
            found[name] = {
                "fingerprint": evidence_fingerprint(profile, name),
                "codes": _codes(profile, name),
                "outcomes": outcomes,
            }
    write_json(
        out,
        {
            "experiments": found,
            "package": str(PACKAGE),
            "executed": sorted(executed(trace)),
            "device": device,
            "seconds": round(time.monotonic() - began, 1),
        },
    )


def _prepare(device: str) -> str:
    """Set this process up for training; returns the name of the device it trains on."""
    from repro.harness import process

    process.prepare()
    return process.device_name(process.device(device))


def _train(
    root: Path, store: Store, profile: Profile, name: str, chosen: dict[str, list[str]]
) -> dict[str, dict[str, Any]]:
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    found = {}
    for phase in experiment.phases:
        wanted = set(chosen.get(phase.name, []))
        own = [job for fleet in jobs(profile, experiment, phase) for job in fleet if job.run.id in wanted]
        if missing := wanted - {job.run.id for job in own}:
            raise ReproError(f"{name} {phase.name}: no run {min(missing)} in profile {profile.name}")
        _bring(root, store, profile, own)
        for job in own:
            entry = store.entry(job.key)
            if entry is None:
                raise ReproError(f"{name} {phase.name}: run {job.run.id} left nothing behind")
            found[f"{phase.name} {job.run.id}"] = {
                "record": entry["record"],
                "weights": _weights(store.weights(job.key)),
            }
    return found


def _codes(profile: Profile, name: str) -> dict[str, str]:
    """Digests as used in the store's keys, by the kind of run whose code they represent."""
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    found = {}
    for phase in experiment.phases:
        for run in (run for fleet in phase.planned(profile) for run in fleet.runs):
            pieces, kind = frozenset(run.pieces()), type(run)
            what = digest([phase.work, sorted(pieces), kind.__qualname__])
            if what not in found:
                found[what] = digest(code(phase.work, pieces, frozenset({kind})))
    return found


def _bring(root: Path, store: Store, profile: Profile, wanted: Iterable[Job]) -> None:
    """Train what is not in the store, parents first, one run at a time."""
    from repro.harness.task import train_task

    for job in wanted:
        if job.parent:
            _bring(root, store, profile, [job.parent])
        if store.entry(job.key) is None:
            parents = (job.parent.key,) if job.parent else ()
            own = Task(
                root=store.root,
                work=job.phase.work,
                device=profile.device,
                keeps_weights=True,
                runs=(job.run,),
                keys=(job.key,),
                parents=parents,
                data_root=root,
            )
            train_task(own)


def _weights(path: Path) -> dict[str, str]:
    """SHA-256 of each tensor's bytes, with its type and shape."""
    from safetensors.torch import load_file

    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)} "
        + hashlib.sha256(tensor.contiguous().view(-1).numpy().tobytes()).hexdigest()[:16]
        for name, tensor in load_file(path).items()
    }
