"""What this machine has, what a profile needs and costs, and what is stale: for people who ask before they train."""

import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from textwrap import indent
from typing import Any

import psutil
import yaml

from repro import plugins
from repro.harness.announce import missing_files, needs
from repro.harness.evidence.equivalence import attested
from repro.harness.evidence.fingerprint import staleness
from repro.harness.evidence.store import Store
from repro.harness.machine import cores
from repro.harness.plan import costs
from repro.harness.profile import Profile
from repro.words import columns, duration, size

DISTRIBUTION = "poisoning-repro"
RWLOCK = ".dvc/tmp/rwlock"  # who reads and writes what, in DVC's words; empty braces between its commands
_PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;#]+)")


def diagnosis(root: Path, profile: Profile) -> str:
    """The whole account of a machine, a project and one of its profiles, a fact a line."""
    sections = {
        "this machine": _machine(root, profile),
        f"profile {profile.name}: {profile.title}": _needs(root, profile),
        "evidence": [
            (name, staleness(root, profile.name, name) or _current(root, profile, name))
            for name in profile.experiments
        ],
        "project": _project(root, profile),
    }
    return "\n\n".join(f"{heading}\n{indent(columns(facts), '  ')}" for heading, facts in sections.items())


def _current(root: Path, profile: Profile, experiment: str) -> str:
    said = attested(root, profile.name, experiment)
    return f"current ({said})" if said else "current"


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
    listed = costs(root, profile)
    facts = [("dataset", _dataset(root, profile))]
    for cost in listed:
        took = "never measured"
        if cost.seconds is not None:
            of = "one core" if cost.device == "cpu" else cost.device
            took = f"{duration(cost.seconds)} of {of} when last made"
        waiting = (
            f"{cost.pending} of {cost.models} models to train"
            if cost.pending
            else f"{cost.models} models trained"
        )
        facts.append((cost.experiment, f"{waiting}; {took}"))
    facts += [(name, f"left out: {reason}") for name, reason in profile.left_out.items()]
    return facts + [(f"{what} to train", much) for what, much in needs(root, profile, listed)]


def _dataset(root: Path, profile: Profile) -> str:
    name = profile.data.name
    files, missing = plugins.load("dataset", name).FILES, missing_files(root, profile)
    if missing:
        there = f"{len(missing)} of {len(files)} files are missing"
        return f"{name}: {there} ({size(sum(file.size for file in missing))}); `repro fetch {name}`"
    if "path" in profile.data.options:
        return f"{name}: read from {profile.data.options['path']}"
    return f"{name}: {'fetched' if files else 'ships inside an installed package'}"


def _project(root: Path, profile: Profile) -> list[tuple[str, str]]:
    store = Store(root).folder
    expected = Path("claims", "expected", f"{profile.name}.yaml")
    judged = (root / expected).is_file()
    return [
        ("store", _store(store, root)),
        ("dvc.lock", lock_file(root / "dvc.lock")),
        *([(RWLOCK, f"damaged; `rm {RWLOCK}` mends it")] if rwlock_damaged(root) else []),
        (
            "gate",
            f"{expected} is {'there' if judged else 'missing: `pytest claims/` does not judge this profile'}",
        ),
    ]


def _store(folder: Path, root: Path) -> str:
    if not folder.is_dir():
        return "empty"
    finished = len(Store(root).finished())
    taken = sum(file.stat().st_size for file in _files(folder))
    return f"{finished} finished models, {size(taken)}, in {folder.relative_to(root)}"


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


def rwlock_damaged(root: Path) -> bool:
    """Whether DVC was killed while it wrote `RWLOCK`, which it then refuses to read."""
    try:
        content = json.loads((root / RWLOCK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return not isinstance(content, dict)


def _is_stage(stage: Any) -> bool:
    if not isinstance(stage, dict) or not stage.get("cmd"):
        return False
    parts = [stage.get(part, []) for part in ("deps", "outs")]
    return all(isinstance(part, list) and all(map(_is_entry, part)) for part in parts)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and {"path", "hash", "md5", "size"} <= entry.keys()
