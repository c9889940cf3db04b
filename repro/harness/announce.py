"""What is still to be trained, said in words before it is: how long it takes, and what memory and disk it needs.

Nothing is trained or timed, and no training code imported.
"""

import math
import shutil
from pathlib import Path

import psutil

from repro import plugins
from repro.data import describe, raw_folder
from repro.data.datasets import Download
from repro.harness.machine import cores
from repro.harness.plan import Cost, Fingerprints, costs
from repro.harness.profile import Profile
from repro.harness.timing import Timings, read_timings
from repro.words import duration, size


def announce(root: Path, profile: Profile, known: Fingerprints | None = None) -> str:
    """What is still to be trained, an experiment a line, what that needs, and what the profile leaves out."""
    listed = costs(root, profile, known)
    waiting = [cost for cost in listed if cost.pending]
    lines = [f"{c.experiment}: {c.pending} of {c.models} models to train" for c in waiting]
    if waiting:
        lines += [f"{what}: {much}" for what, much in needs(root, profile, listed)]
    else:
        lines.append(f"all {sum(c.models for c in listed)} models are trained; nothing to train")
    if profile.left_out:
        left_out = (f"{name} ({reason})" for name, reason in profile.left_out.items())
        lines.append(f"left out: {', '.join(left_out)}")
    return "\n".join(f"{profile.name}: {line}" for line in lines)


def needs(root: Path, profile: Profile, listed: list[Cost]) -> list[tuple[str, str]]:
    """(what, how much) of time, memory and disk for what is still to train, with a warning where it does not fit."""
    waiting = [cost for cost in listed if cost.pending]
    if not waiting:
        return [(what, "nothing to train") for what in ("time", "memory", "disk")]
    return [
        ("time", _time(read_timings(root, profile.name), profile, waiting)),
        ("memory", _memory(profile, waiting)),
        ("disk", _disk(root, profile, waiting)),
    ]


def _workers(profile: Profile, pending: int, device: str | None) -> int:
    """In how many processes models train: one on a GPU, on which ``device`` may tell that the last ones were."""
    return 1 if profile.device == "cuda" or device not in (None, "cpu") else min(cores(), pending)


def _time(timings: Timings, profile: Profile, waiting: list[Cost]) -> str:
    parts, unknown = [], []
    measured = estimated = 0.0
    devices: set[str | None] = set()
    kinds: set[str] = set()
    guessed = []
    for cost in waiting:
        if cost.seconds is not None:
            workers = _workers(profile, cost.pending, cost.device)
            measured += cost.seconds * cost.pending / cost.models / workers
            devices.add(cost.device)
        elif cost.estimated is None:
            unknown.append(cost.experiment)
        elif cost.kinds:
            on = next(timings[kind]["device"] for kind in cost.kinds)
            estimated += cost.estimated / _workers(profile, cost.pending, on)
            kinds |= cost.kinds
            guessed.append(cost.experiment)
    if devices:
        others = "".join(f" on {device}" for device in sorted(map(str, devices - {"cpu"})))
        took = f"going by the time the evidence took{others}"
        parts.append(f"about {duration(measured)} on {cores()} cores, {took}")
    if guessed:
        steps = sum(timings[kind]["steps"] for kind in kinds)
        on = ", ".join(sorted({timings[kind]["device"] for kind in kinds}))
        by = f"an estimate from {steps} timed steps on {on}, measuring not counted"
        parts.append(f"at most about {duration(estimated)} for {', '.join(guessed)}, {by}")
    if unknown:
        parts.append(f"not counting {', '.join(unknown)}: never measured; `repro doctor --time` estimates it")
    return "; ".join(parts) or "seconds"


def _memory(profile: Profile, waiting: list[Cost]) -> str:
    each, workers = max((cost.memory, _workers(profile, cost.pending, None)) for cost in waiting)
    together = max(cost.memory * _workers(profile, cost.pending, None) for cost in waiting)
    free = psutil.virtual_memory().available
    shares = f" ({size(each)} in each of {workers} processes)" if workers > 1 else ""
    return f"at least {size(together)}{shares}, {size(free)} are free{_warning(together > free)}"


def _disk(root: Path, profile: Profile, waiting: list[Cost]) -> str:
    weights = sum(cost.weights for cost in waiting)
    unsized = sorted(frozenset[str]().union(*(cost.unsized for cost in waiting)))
    missing = _dataset_bytes(root, profile)
    free = shutil.disk_usage(root.resolve()).free
    fetched = f", and {size(missing)} for the dataset" if missing else ""
    unknown = f", not counting {', '.join(unsized)}: size unknown" if unsized else ""
    return (
        f"about {size(weights)} for weights{fetched}{unknown}, "
        f"{size(free)} are free{_warning(weights + missing > free)}"
    )


def _dataset_bytes(root: Path, profile: Profile) -> int:
    """What fetching takes: the files that are missing, and their images as bytes where a piece decodes them."""
    total = sum(file.size for file in missing_files(root, profile))
    if total and hasattr(plugins.load("dataset", profile.data.name), "prepare"):
        about = describe(profile.data.name, profile.data.options, root)
        total += about.images * math.prod(about.shape)
    return total


def _warning(too_much: bool) -> str:
    return "; WARNING: this does not fit" if too_much else ""


def missing_files(root: Path, profile: Profile) -> list[Download]:
    """The dataset's files that are not there, or not of their size."""
    folder = raw_folder(root, profile.data.name)
    return [
        file
        for file in plugins.load("dataset", profile.data.name).FILES
        if not (folder / file.name).is_file() or (folder / file.name).stat().st_size != file.size
    ]
