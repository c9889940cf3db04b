"""What this machine has."""

import os
import platform
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
VECTORS = ("fma", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")
"""Instructions, as Linux names them, that decide which kernels are used, and so how sums are rounded."""


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str | None:
    """The processor's name and its vector instructions, such as `AMD EPYC 7763 (fma, avx2)`; None where unknown."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or None
    facts = dict(re.findall(r"^([\w ]+?)\s*:[ \t]*(.*)$", text, re.MULTILINE))
    name = facts.get("model name") or platform.processor() or platform.machine()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    vectors = ", ".join(vector for vector in VECTORS if vector in flags)
    return f"{name.strip()} ({vectors})" if vectors else name.strip() or None
