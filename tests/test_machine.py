"""What is recorded of the processor that makes evidence."""

from pathlib import Path

import pytest

from repro.harness import machine

X86 = "processor\t: 0\nmodel name\t: AMD EPYC 7763\nflags\t\t: fpu sse2 avx2 fma\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd sve\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (X86, "AMD EPYC 7763 (fma, avx2)"),
        (X86.replace("avx2", "avx2 avx512f"), "AMD EPYC 7763 (fma, avx2, avx512f)"),
        (ARM, "aarch64 (asimd, sve)"),
        ("", "aarch64"),
    ],
)
def test_processor_and_its_vector_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    assert machine.processor() == expected


@pytest.mark.parametrize(("known", "expected"), [("arm", "arm"), ("", None)])
def test_without_cpuinfo_it_is_what_python_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: str, expected: str | None
) -> None:
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "gone")
    monkeypatch.setattr(machine.platform, "processor", lambda: known)
    assert machine.processor() == expected
