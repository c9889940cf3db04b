"""How long a training step takes here: measured when asked, on random images, and kept in ``.repro/timings/``.

What a step costs depends on the architecture, its engine's options, the batch, the defence and the number of models
that train together, which is one on a CPU and a fleet on a GPU; each such kind is timed once. PyTorch is imported where
something is timed, not where times are looked up.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from repro import plugins
from repro.files import write_json
from repro.harness.experiment import Phase
from repro.harness.machine import cores
from repro.harness.needs import (
    defence_of,
    image_shape,
    images,
    most_steps,
    of_architecture,
    recipe_of,
    trains,
)
from repro.harness.profile import Profile
from repro.harness.runs import Fleet, digest, engine_of

_LEAST_SECONDS = 1.0
_MOST_STEPS = 1024

Timings = dict[str, dict[str, Any]]


def timings_path(root: Path, profile_name: str) -> Path:
    """The file of a profile's timings, by number of cores, then by kind of step."""
    return root / ".repro" / "timings" / f"{profile_name}.json"


def read_timings(root: Path, profile_name: str) -> Timings:
    """Timings of a machine with as many cores, by kind; empty when there are none that can be read."""
    try:
        content = json.loads(timings_path(root, profile_name).read_text(encoding="utf-8"))
        found = content.get(str(cores()), {})
        kept = {
            kind: timing for kind, timing in found.items() if timing["seconds"] > 0 and timing["steps"] > 0
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return kept


def kind_of(profile: Profile, fleet: Fleet) -> str:
    """Stands for everything that decides how long a fleet's step takes, but for the machine and the code.

    What trains together has one recipe and one kind of defence, so the first run speaks for all.
    """
    run = fleet.runs[0]
    recipe, defence = recipe_of(run), defence_of(run)
    how = [run.architecture, recipe.batch_size, recipe.options, defence.name, defence.options]
    return digest([*how, image_shape(profile), profile.classes(), profile.device, profile.fleet])[:16]


def at_most(profile: Profile, fleets: list[Fleet], timings: Timings) -> tuple[float, set[str]] | None:
    """(core seconds that fleets take at most, kinds that this rests on); None when a kind of theirs was never timed."""
    seconds, kinds, count = 0.0, set(), images(profile)
    for fleet in filter(of_architecture, fleets):
        kind = kind_of(profile, fleet)
        if kind not in timings:
            return None
        kinds.add(kind)
        seconds += timings[kind]["seconds"] * sum(most_steps(run, count) for run in fleet.runs)
    return seconds, kinds


def time_steps(root: Path, profile: Profile, say: Callable[[str], None]) -> int:
    """Time every kind of step in the profile's grid on this machine, and keep the times; returns how many kinds.

    A kind takes a second or two, or as long as two of its steps where these are slower.
    """
    from repro.harness import process

    device = process.device(profile.device)
    kinds: dict[str, Any] = {}
    for fleet in _fleets(profile):
        kinds.setdefault(kind_of(profile, fleet), fleet.runs[0])
    timings: Timings = {}
    for kind, run in kinds.items():
        seconds, steps = _step(profile, run, device)
        defence = defence_of(run).name
        say(
            f"{run.architecture}, {defence}, batches of {recipe_of(run).batch_size}: "
            f"{1000 * seconds:.3g} ms a step and model ({steps} steps of {_together(profile, device)} at once)"
        )
        timings[kind] = {
            "architecture": run.architecture,
            "defence": defence,
            "device": process.device_name(device),
            "seconds": seconds,
            "steps": steps,
        }
    path = timings_path(root, profile.name)
    try:
        kept = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        kept = {}
    write_json(path, kept | {str(cores()): timings})
    return len(timings)


def _fleets(profile: Profile) -> Iterator[Fleet]:
    for name in profile.experiments:
        phases: tuple[Phase, ...] = plugins.load("experiment", name).EXPERIMENT.phases
        for phase in phases:
            if trains(phase):
                yield from filter(of_architecture, phase.planned(profile))


def _together(profile: Profile, device: Any) -> int:
    """How many models a training step is of."""
    return profile.fleet if device.type == "cuda" else 1


def _step(profile: Profile, run: Any, device: Any) -> tuple[float, int]:
    """(seconds a step and model with its share of validation, how many steps were timed), on one thread."""
    import torch

    from repro.training.fleet import Regularisation, Split
    from repro.training.recipe import Recipe

    recipe, defence, models = recipe_of(run), defence_of(run), _together(profile, device)
    engine, piece = (
        plugins.load("engine", engine_of(run.architecture)),
        plugins.load("architecture", run.architecture),
    )
    shape, classes, seeds = image_shape(profile), profile.classes(), list(range(models))
    generator = torch.Generator().manual_seed(0)
    pool = engine.pool_of(torch.rand((4 * recipe.batch_size, *shape), generator=generator), device)
    regularised = plugins.load("defence", defence.name)
    regularisation = Regularisation(
        regularised, torch.full((models,), float(defence.weight)), regularised.OPTIONS | defence.options
    )
    own = getattr(
        regularised, "train", None
    )  # a defence that trains in a way of its own, and stops when told to
    train, patience = (own, None) if own else (engine.train, 1)
    once = Recipe(recipe.learning_rate, recipe.batch_size, 1, patience, options=recipe.options)

    def split(count: int) -> Split:
        drawn = (
            torch.randint(most, (models, count), generator=generator)
            for most in (4 * recipe.batch_size, classes)
        )
        return Split(*(part.to(device) for part in drawn))

    def epoch(steps: int) -> float:
        fresh = engine.fresh(piece, shape, classes, seeds, False, device)
        training = split(steps * recipe.batch_size)
        validation = None if own else split(max(1, steps * recipe.batch_size // 4))  # the partition's 80/20
        begun = time.perf_counter()
        train(fresh, pool, training, validation, once, seeds, regularisation)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        epoch(1)  # the first step may compile or allocate
        steps, taken = 1, epoch(1)
        while taken < _LEAST_SECONDS and steps < _MOST_STEPS:
            steps *= 2
            taken = epoch(steps)
    finally:
        torch.set_num_threads(threads)
    return taken / (steps * models), steps
