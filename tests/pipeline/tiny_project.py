"""A project of its own to run `dvc repro` in: the tiny profile, the package copied so that tests may change it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LEFT_OUT = (
    "amplification",
    "comparative",
    "bilevel",
    "families",
    "latent",
    "detection",
    "mitigation",
    "pair_counts",
    "tuning",
    "poison_rate",
    "membership_metric",
    "poison_statistics",
    "regularisers",
    "targeted",
)
"""Experiments that take the way of those that stay, and would only take time."""

ALSO_LEFT_OUT_TO_KILL = (
    "transparency",
    "sources",
)
"""What is killed and run again has two experiments of two phases, in whose trainings most kills then fall."""

SOURCE = Path(__file__).resolve().parents[2]
COPIED = ("repro", "claims", ".dvc", "dvc.yaml", "params.yaml", ".gitignore", ".gitattributes")


@dataclass(frozen=True)
class Project:
    """A project in ``root``; with ``one_core`` its commands train in their own process, without starting others."""

    root: Path
    one_core: bool = False

    @property
    def environment(self) -> dict[str, str]:
        scripts = str(Path(sys.executable).parent)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "REPRO_"))}
        return clean | {
            "PYTHONPATH": str(self.root),
            "PATH": os.pathsep.join([scripts, os.environ["PATH"]]),
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command in the project, in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=self._prepare,  # noqa: PLW1509
        )

    def _prepare(self) -> None:
        # A shell without job control has its background commands ignore interruptions, and their children too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.one_core and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    def run(self, *command: str) -> tuple[int, str]:
        """Exit status and output of a command."""
        process = self.start(*command)
        output, _ = process.communicate(timeout=240)
        return process.returncode, output

    def reproduce(self) -> str:
        """Output of a `dvc repro` that has to succeed."""
        status, output = self.run("dvc", "repro")
        assert status == 0, output
        return output

    def evidence(self) -> dict[str, bytes]:
        """Every table by name; one that is left out is empty."""
        return {p.name: p.read_bytes() for p in sorted(self.root.glob("reports/tiny/evidence/*.csv"))}

    def change(self, file: str, before: str, after: str, times: int = -1) -> None:
        """Replace text in a file of the project, everywhere or some times; the text has to be there."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after, times), encoding="utf-8")


def new_project(folder: Path, left_out: Sequence[str] = LEFT_OUT, *, one_core: bool = False) -> Project:
    for name in COPIED:
        source = SOURCE / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copyfile(source, folder / name)
    project = Project(folder, one_core)
    project.change("params.yaml", "profile: digits", "profile: tiny")
    leave_out(folder / "repro/profiles/tiny.yaml", left_out)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    subprocess.run(["git", *identity, "commit", "-qm", "start"], cwd=folder, check=True, capture_output=True)
    return project


def leave_out(profile: Path, experiments: Sequence[str]) -> None:
    """Have a profile leave out experiments."""
    text = profile.read_text(encoding="utf-8")
    for name in experiments:
        text = re.sub(rf"^  {name}:.*\n(?:    .*\n)*", "", text, flags=re.MULTILINE)
    reasons = "".join(f"  {name}: it takes the way of others\n" for name in experiments)
    profile.write_text(f"{text}leaves_out:\n{reasons}", encoding="utf-8")
