"""Training processes of one thread each, started once for all the phases that need them.

They are forked from a server that imports the training code once, while this process imports PyTorch, as it has to know
whether there is a GPU.
"""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from types import TracebackType

import psutil

from repro.errors import ReproError, WorkerLostError
from repro.harness.machine import cores
from repro.harness.task import Task, begin_worker, train_task
from repro.progress import Progress
from repro.words import duration

# Imports that every worker needs.
IMPORTED = ("repro.harness.process", "repro.harness.warm", "safetensors.torch")
_MOST_RUNS, _SHARES = 30, 8  # runs in a task at most, and tasks that each worker has left at least
_LOST = "a training process was killed (out of memory?); finished models are kept, run again to go on"


class Workers:
    """As many processes as there are cores, or only this one if there is a GPU or a single model to train.

    ``device`` is the profile's, ``works`` are the ``module:function`` names of what is to be carried out.
    """

    def __init__(self, device: str, works: Iterable[str]) -> None:
        self._device, self._modules = device, sorted({work.partition(":")[0] for work in works})
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A broken pool is left as it is: shutting it down can hang, and its processes end with this one.
        if self._executor and not isinstance(error, WorkerLostError):
            self._executor.shutdown(wait=error is None, cancel_futures=error is not None)

    def train(self, what: str, fleets: list[Task], say: Callable[[str], None]) -> None:
        """Train tasks to the end, each a fleet's runs; raises WorkerLostError if a process is killed meanwhile.

        On a CPU the runs are dealt out in smaller tasks.
        """
        count = sum(len(task.runs) for task in fleets)
        several = min(count, cores()) > 1 and self._device != "cuda"
        if self._device != "cuda":
            _compiled(self._device, say)
        if several and self._executor is None:
            self._start_server()
        from repro.harness import process

        on_gpu = process.device(self._device).type == "cuda"
        tasks = fleets if on_gpu else list(dealt(fleets, cores()))
        say(f"{what}: {count} models to train")
        begun = time.monotonic()
        progress = Progress(what, "models", say)
        progress.begin(count)
        for trained in self._each(tasks) if several and not on_gpu else self._alone(tasks):
            progress.advance(trained)
        progress.end()
        say(f"{what}: {count} models in {duration(time.monotonic() - begun)}")

    def _alone(self, tasks: list[Task]) -> Iterator[int]:
        from repro.harness import process

        process.prepare()
        return map(train_task, tasks)

    def _each(self, tasks: list[Task]) -> Iterator[int]:
        try:
            trained = [self._pool().submit(train_task, task) for task in tasks]
        except (BrokenProcessPool, OSError, ValueError):
            # A process killed while others are being started breaks their pipes, in one of several ways.
            raise WorkerLostError(_LOST) from None
        try:
            for future in as_completed(trained):
                yield future.result()
        except BrokenProcessPool:
            raise WorkerLostError(_LOST) from None

    def _start_server(self) -> None:
        """Make the server, if this system has one, import the training code itself."""
        context = _context()
        if context.get_start_method() == "forkserver":
            from multiprocessing import forkserver

            context.set_forkserver_preload(["repro.harness.uninterrupted", *IMPORTED, *self._modules])
            forkserver.ensure_running()

    def _pool(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                cores(),
                mp_context=_context(),
                initializer=begin_worker,
                initargs=(os.getpid(), psutil.Process().create_time()),
            )
        return self._executor


def _compiled(device: str, say: Callable[[str], None]) -> None:
    """Have the kernel compiled, in a separate process, if training needs it and it was never compiled.

    An interruption of this process ends that one; compilation itself must not be interrupted.
    """
    from repro.kernel import cache

    if cache.complete().exists():
        return
    from repro.harness import process

    if process.device(device).type == "cuda":
        return
    say("the training kernel is compiled for this processor, once; this takes about a minute")
    command = [sys.executable, "-m", "repro.harness.warm", str(os.getpid())]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        raise ReproError(f"the training kernel could not be compiled: {last}")


def dealt(fleets: Iterable[Task], workers: int) -> Iterator[Task]:
    """The same runs in tasks that get smaller towards the end, so that all workers finish at about the same time."""
    fleets = list(fleets)
    left = sum(len(task.runs) for task in fleets)
    for task in fleets:
        start = 0
        while start < len(task.runs):
            size = max(1, min(_MOST_RUNS, left // (_SHARES * workers)))
            part = task.part(start, start + size)
            yield part
            start += len(part.runs)
            left -= len(part.runs)


def _context() -> BaseContext:
    server = "forkserver" in multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if server else "spawn")
