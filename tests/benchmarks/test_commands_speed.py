"""How long a user waits: for the command line's help, and for ``dvc repro`` with nothing to do."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest

from repro.errors import ReproError
from repro.harness.evidence.fingerprint import staleness
from repro.harness.plan import costs
from repro.harness.profile import load_parameters, load_profile

ROOT = Path(__file__).resolve().parents[2]


def seconds(*command: str) -> float:
    """How long a command of this environment takes that has to succeed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    start = perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    taken = perf_counter() - start
    assert done.returncode == 0, done.stdout + done.stderr
    return taken


def test_start_of_the_command_line(benchmark: Any, say: Callable[[str], None]) -> None:
    taken: list[float] = []
    benchmark.pedantic(
        lambda: taken.append(seconds(sys.executable, "-m", "repro", "--help")),
        rounds=11 if benchmark.enabled else 1,
        warmup_rounds=1,
    )
    say(f"repro --help: {median(taken):.2f} s (median of {len(taken)})")


def what_is_missing() -> str | None:
    """Why ``dvc repro`` would have something to do, or cannot say; None when it would not."""
    if not (ROOT / "dvc.lock").is_file():
        return "no dvc.lock: nothing has been made here"
    try:
        profile = load_profile(load_parameters(ROOT).profile, ROOT)
        reasons = [staleness(ROOT, profile.name, experiment) for experiment in profile.experiments]
        reasons += [
            f"{cost.experiment}: still to be trained" for cost in costs(ROOT, profile) if cost.pending
        ]
    except ReproError as error:
        return str(error)
    return next((reason for reason in reasons if reason), None)


def test_dvc_repro_with_nothing_to_do(benchmark: Any, say: Callable[[str], None]) -> None:
    if not benchmark.enabled:
        pytest.skip("runs `dvc repro` on this checkout only when measuring: --benchmark-enable")
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)
    dvc = (sys.executable, "-m", "dvc", "repro")
    seconds(*dvc)  # may still have to judge or to report
    taken: list[float] = []
    benchmark.pedantic(lambda: taken.append(seconds(*dvc)), rounds=3)
    say(f"dvc repro with nothing to do: {median(taken):.2f} s (median of {len(taken)})")
