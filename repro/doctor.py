"""What this machine has, what a profile needs and costs, and what is stale: for people who ask before they train."""

import math
import os
import platform
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import psutil
import yaml

from repro import plugins
from repro.data import raw_folder
from repro.evidence.fingerprint import staleness
from repro.evidence.store import RECORDS, Store
from repro.experiments import Phase
from repro.machine import cores
from repro.models import Convolution
from repro.plan import estimate
from repro.profiles import Profile
from repro.progress import duration

DISTRIBUTION = "poisoning-repro"
_FLOAT_BYTES = 4
_COPIES = 3  # the store's, the stage's output, DVC's cache
_PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;#]+)")


def diagnosis(root: Path, profile: Profile) -> str:
    """The whole account of a machine, a project and one of its profiles, a fact a line."""
    sections = {
        "this machine": _machine(root, profile),
        f"profile {profile.name}: {profile.title}": _needs(root, profile),
        "evidence": [
            (name, staleness(root, profile.name, name) or "current") for name in profile.experiments
        ],
        "project": _project(root, profile),
    }
    width = max(len(name) for facts in sections.values() for name, _ in facts)
    return "\n\n".join(
        "\n".join([heading, *(f"  {name:{width}}  {fact}" for name, fact in facts)])
        for heading, facts in sections.items()
    )


def size(count: float) -> str:
    """Bytes in words, in powers of ten: ``720 kB``, ``41 MB``, ``3.2 GB``."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= least:
            return f"{count / least:.{1 if count < 10 * least else 0}f} {unit}"
    return f"{count:.0f} bytes"


def _machine(root: Path, profile: Profile) -> list[tuple[str, str]]:
    memory = psutil.virtual_memory()
    return [
        ("Python", platform.python_version()),
        ("packages", packages(root / "constraints.txt")),
        ("cores", str(cores())),
        ("memory", f"{size(memory.total)}, {size(memory.available)} of it free"),
        ("disk", f"{size(shutil.disk_usage(root.resolve()).free)} free"),
        ("GPU", _gpu(profile)),
    ]


def packages(constraints: Path) -> str:
    """How the installed packages differ from the pinned ones; local version labels do not count."""
    if not constraints.is_file():
        return f"{constraints.name} is not here to compare with"
    needed = {_normal(match[0]) for line in _required() if (match := re.match(r"[A-Za-z0-9._-]+", line))}
    differing = []
    for line in constraints.read_text(encoding="utf-8").splitlines():
        match = _PIN.match(line)
        if not match:
            continue
        name, pinned = match.groups()
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            if _normal(name) in needed:
                differing.append(f"{name} is not installed (pinned {pinned})")
            continue
        if installed != pinned:
            differing.append(f"{name} {installed} (pinned {pinned})")
    return f"not as pinned: {', '.join(differing)}" if differing else f"as {constraints.name} pins them"


def _required() -> list[str]:
    try:
        return [line for line in requires(DISTRIBUTION) or [] if "extra ==" not in line]
    except PackageNotFoundError:
        return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _gpu(profile: Profile) -> str:
    import torch

    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        return f"{found.name}, {size(found.total_memory)}"
    return "none, but the profile asks for it (device: cuda)" if profile.device == "cuda" else "none"


def _needs(root: Path, profile: Profile) -> list[tuple[str, str]]:
    seconds, costs = estimate(root, profile)
    facts = [("dataset", _dataset(root, profile))]
    for cost in costs:
        took = (
            "never measured"
            if cost.seconds is None
            else f"{duration(cost.seconds)} of one core when last made"
        )
        waiting = f"{cost.pending} of {cost.fleets} fleets to train" if cost.pending else "trained"
        facts.append((cost.experiment, f"{waiting}; {cost.models} models, {took}"))
    unknown = [cost.experiment for cost in costs if cost.pending and cost.seconds is None]
    left_out = f", not counting {', '.join(unknown)}" if unknown else ""
    facts.append(("time to train", f"about {duration(seconds)}{left_out}"))
    facts.append(
        ("disk to train", f"about {size(_COPIES * _weight_bytes(profile))} for weights, in all copies")
    )
    return facts


def _dataset(root: Path, profile: Profile) -> str:
    name = profile.data.name
    piece = plugins.load("dataset", name)
    folder = raw_folder(root, name)
    missing = [
        file
        for file in piece.FILES
        if not (folder / file.name).is_file() or (folder / file.name).stat().st_size != file.size
    ]
    if missing:
        there = f"{len(missing)} of {len(piece.FILES)} files are missing"
        return f"{name}: {there} ({size(sum(file.size for file in missing))}); `repro fetch {name}`"
    return f"{name}: {'fetched' if piece.FILES else 'ships inside an installed package'}"


def _weight_bytes(profile: Profile) -> int:
    """Bytes of one copy of all weights that are kept between phases."""
    shape = plugins.load("dataset", profile.data.name).SHAPE
    return sum(
        _FLOAT_BYTES * parameters(run.architecture, shape, profile.classes())
        for phase in _phases(profile)
        if phase.keeps_weights
        for fleet in phase.fleets(profile)
        for run in fleet.runs
    )


def _phases(profile: Profile) -> Iterator[Phase]:
    for name in profile.experiments:
        yield from plugins.load("experiment", name).EXPERIMENT.phases


def parameters(architecture: str, shape: tuple[int, int, int], classes: int) -> int:
    """How many numbers a model's state holds; a normalised channel has two parameters and two running statistics."""
    channels, height, width = shape
    features, count = math.prod(shape), 0
    for block in plugins.load("architecture", architecture).blocks(shape, classes):
        if isinstance(block, Convolution):
            count += block.channels * (9 * channels + (4 if block.normalised else 1))
            channels, height, width = block.channels, -(-height // block.stride), -(-width // block.stride)
            features = channels * height * width
        else:
            count += block.features * (features + 1)
            features = block.features
    return count + classes * (features + 1)


def _project(root: Path, profile: Profile) -> list[tuple[str, str]]:
    store = Store(root).folder
    expected = Path("claims", "expected", f"{profile.name}.yaml")
    judged = (root / expected).is_file()
    return [
        ("store", _store(store, root)),
        ("dvc.lock", lock_file(root / "dvc.lock")),
        (
            "gate",
            f"{expected} is {'there' if judged else 'missing: `pytest claims/` does not judge this profile'}",
        ),
    ]


def _store(folder: Path, root: Path) -> str:
    if not folder.is_dir():
        return "empty"
    finished = sum(1 for _ in folder.glob(f"*/{RECORDS}"))
    taken = sum(file.stat().st_size for file in _files(folder))
    return f"{finished} finished fleets, {size(taken)}, in {folder.relative_to(root)}"


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(where, name)).is_file())


def lock_file(path: Path) -> str:
    """Whether DVC's lock file is whole: DVC itself does not recover from a truncated one."""
    damaged = "damaged; `git checkout dvc.lock` mends it"
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except FileNotFoundError:
        return "not there; `dvc repro` makes it"
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return damaged
    if not text.endswith("\n") or not isinstance(content, dict):
        return damaged
    stages = content.get("stages")
    if "schema" not in content or not isinstance(stages, dict):
        return damaged
    return "whole" if all(map(_is_stage, stages.values())) else damaged


def _is_stage(stage: Any) -> bool:
    if not isinstance(stage, dict) or not stage.get("cmd"):
        return False
    parts = [stage.get(part, []) for part in ("deps", "outs")]
    return all(isinstance(part, list) and all(map(_is_entry, part)) for part in parts)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and {"path", "hash", "md5", "size"} <= entry.keys()
