"""What a training process sets up."""

import platform
import subprocess
import sys

import pytest
import torch

from repro.errors import ReproError
from repro.harness import process


def test_a_training_process_computes_on_one_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        process.prepare()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept() -> None:
    """In a process of its own; the one without is forked off before, as what it frees changes glibc's thresholds."""
    code = """
import os, psutil
from repro.harness.process import keep_freed_memory
def kept():
    before = psutil.Process().memory_info().rss
    blocks = [b"x" * 2**24 for _ in range(6)]
    del blocks
    print((psutil.Process().memory_info().rss - before) / 2**20, flush=True)
without = os.fork()
if not without:
    kept()
    os._exit(0)
os.waitpid(without, 0)
keep_freed_memory()
kept()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    without, kept = map(float, done.stdout.split())
    assert without < 20
    assert kept > 70


def test_asking_for_a_gpu_by_name_where_there_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    wanted = "^device: cuda was asked for, but PyTorch sees no GPU; use device: auto or cpu$"
    with pytest.raises(ReproError, match=wanted):
        process.device("cuda")
    assert process.device("auto") == process.device("cpu") == torch.device("cpu")
    assert process.device_name(process.device("cpu")) == "cpu"


def test_a_gpu_is_taken_where_there_is_one_unless_the_cpu_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda chosen: f"a GPU ({chosen.type})")
    assert process.device("auto") == process.device("cuda") == torch.device("cuda")
    assert process.device("cpu") == torch.device("cpu")
    assert process.device_name(torch.device("cuda")) == "a GPU (cuda)"
