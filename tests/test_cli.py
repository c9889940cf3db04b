"""The command line: quick to start, and every bad input is one line on stderr, exit code 2, nothing half-written."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from repro import listing
from repro.cli import main
from repro.files import checksum, write_json, write_text
from repro.harness import profile as profiles
from repro.harness import timing
from repro.harness.evidence.fingerprint import evidence_fingerprint
from repro.harness.machine import cores
from repro.harness.timing import timings_path

PARAMS = "profile: digits\nseeds: {evidence: 1, tuning: 100001}\n"
HEAVY = ("torch", "numpy", "scipy", "sklearn", "matplotlib")


@dataclass
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return tmp_path


@pytest.fixture
def repro(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["repro", *arguments])
        with pytest.raises(SystemExit) as ending:
            main()
        said = capsys.readouterr()
        return Ended(int(ending.value.code or 0), said.out, said.err)

    return command


def files(root: Path) -> list[str]:
    """Everything in a project but what was put there at first, and empty folders."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def modules_after(*arguments: str, folder: Path) -> set[str]:
    """What a command has imported of the heavy packages when it ends."""
    program = (
        "import sys\nfrom repro.cli import main\nsys.argv = ['repro', *sys.argv[1:]]\n"
        "try:\n    main()\nfinally:\n    print('LOADED', *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.partition("LOADED")[2].split())
    assert "repro.cli" in loaded
    return loaded & set(HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list"], ["list", "claims"]])
def test_help_and_listing_import_nothing_heavy(project: Path, arguments: list[str]) -> None:
    assert modules_after(*arguments, folder=project) == set()


@pytest.mark.parametrize("timed", [False, True])
def test_planning_imports_no_training_code(project: Path, timed: bool) -> None:
    if timed:
        write_json(timings_path(project, "digits"), {str(cores()): {}})
    assert "torch" not in modules_after("plan", folder=project)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "--profile", "nope"], "unknown profile 'nope': there are "),
        (["doctor", "--profile", "nope"], "unknown profile 'nope': there are "),
        (["claims", "--profile", "nope"], "unknown profile 'nope': there are "),
        (["report", "--profile", "nope"], "unknown profile 'nope': there are "),
        (["evidence", "tuning", "--profile", "nope"], "unknown profile 'nope': there are "),
        (["run", "tuning", "--profile", "nope"], "unknown profile 'nope': there are "),
        (["run", "nope"], "unknown experiment 'nope': there are "),
        (["run", "tuning", "--phase", "nope"], "tuning has no phase 'nope': train"),
        (["evidence", "nope"], "unknown experiment 'nope': there are "),
        (["evidence", "tuning"], "data/runs/digits/tuning/train: not there; `repro run tuning` makes it"),
        (["explain", "nope"], "unknown claim 'nope': there are "),
        (["list", "nope"], "unknown kind 'nope': there are papers, datasets, attacks, triggers, families, "),
        (["fetch", "nope"], "unknown dataset 'nope': there are "),
        (["fetch", "mnist", "--mirror", "gone"], "mirror 'gone': no such folder"),
        (["diff", "gone", "gone"], "gone: no such folder or table"),
        (["bring", "gone"], "gone: no such folder"),
        (["bring", "."], "no evidence in it (<experiment>.csv with .fingerprint.json beside it)"),
        (["bring", ".", "--profile", "nope"], "unknown profile 'nope': there are "),
        (["slice", "nope", "--as", "few"], "unknown profile 'nope': there are "),
        (["slice", "digits", "--as", "few"], "--as few: nothing to differ in"),
        (["slice", "digits", "--as", "tiny", "--units", "3"], "repro/profiles/tiny.yaml is there already"),
        (["slice", "digits", "--as", "few", "--units", "0"], "--units 0: must be from 1 to the "),
        (
            ["slice", "digits", "--as", "few", "--architectures", "mlp, vgg"],
            "profile digits has no vgg (it has ",
        ),
        (["slice", "digits", "--as", "few", "--experiments", ","], "--experiments: none is named"),
        (["claims"], "no such evidence; `dvc repro` makes it"),
    ],
)
def test_bad_input_is_one_line(repro: Command, project: Path, arguments: list[str], message: str) -> None:
    ended = repro(*arguments)
    assert ended.code == 2
    assert ended.err.startswith("repro: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err
    assert [name for name in files(project) if not name.startswith(".repro/store/")] == ["params.yaml"]


@pytest.mark.parametrize("command", [["plan"], ["run", "tuning"], ["claims"], ["report"], ["doctor"]])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "params.yaml: no such file"),
        ("profile: [digits", "params.yaml:2: did not find expected "),
        ("digits", "params.yaml: a mapping is wanted, not str"),
        (PARAMS + "seed: 3\n", "params.yaml: seed: Extra inputs are not permitted"),
        (PARAMS.replace("digits", "dogs"), "params.yaml: profile: 'dogs' is not one of "),
    ],
)
def test_bad_params_is_one_line(
    repro: Command, project: Path, command: list[str], content: str | None, message: str
) -> None:
    path = project / "params.yaml"
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    ended = repro(*command)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"repro: {message}")
    assert files(project) == ([] if content is None else ["params.yaml"])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("poison_rate:", "poisen_rate:", "repro/profiles/digits.yaml: poison_rate: Field required"),
        ("poison_rate: 0.1", "poison_rate: 2.0", "repro/profiles/digits.yaml: poison_rate: Input should be"),
        ("fleet: 30", "fleet: 30\nflets: 3", "repro/profiles/digits.yaml: flets: Extra inputs"),
        (
            "size: 3, offset: 1",
            "size: 30, offset: 1",
            "triggers.square: square of 30 pixels at offset 1 does not",
        ),
        ("  sine: {", "  sign: {", "repro/profiles/digits.yaml: triggers.sign: unknown trigger 'sign'"),
        ("[mlp, cnn, cnn_bn]", "[mlp, cnn, vgg]", "learning_rate: none for architecture 'vgg'"),
        (
            "  snnl: {weight",
            "  snll: {weight",
            "repro/profiles/digits.yaml: defences: unknown defence 'snll'",
        ),
        (
            "\n  detection:",
            "\n  detektion:",
            "repro/profiles/digits.yaml: experiments: unknown experiment 'detektion'",
        ),
        ("title:", "title: [", "repro/profiles/digits.yaml:"),
        ("fleet: 30", "fleet: 30\nfleet: 3", ": key 'fleet' is given twice"),
    ],
)
@pytest.mark.parametrize("command", [["plan"], ["run", "tuning"]])
def test_bad_profile_is_one_line(
    repro: Command,
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    before: str,
    after: str,
    message: str,
) -> None:
    content = (profiles.FOLDER / "digits.yaml").read_text(encoding="utf-8")
    assert before in content
    folder = tmp_path_factory.mktemp("profiles")
    (folder / "digits.yaml").write_text(content.replace(before, after), encoding="utf-8")
    monkeypatch.setattr(profiles, "FOLDER", folder)
    ended = repro(*command)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert message in ended.err
    assert files(project) == ["params.yaml"]


def test_missing_gpu_asked_for_by_name(
    repro: Command,
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    content = yaml.safe_load((profiles.FOLDER / "digits.yaml").read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("profiles")
    (folder / "digits.yaml").write_text(yaml.safe_dump(content | {"device": "cuda"}), encoding="utf-8")
    monkeypatch.setattr(profiles, "FOLDER", folder)
    ended = repro("run", "tuning")
    said = "repro: device: cuda was asked for, but PyTorch sees no GPU; use device: auto or cpu\n"
    assert (ended.code, ended.err) == (2, said)
    assert files(project) == ["params.yaml"]
    assert "none, but the profile asks for it (device: cuda)" in repro("doctor").out


@pytest.mark.parametrize("arguments", [["nope"], ["run"], ["list", "--nope"]])
def test_unknown_command_or_option_is_a_usage_error(repro: Command, arguments: list[str]) -> None:
    ended = repro(*arguments)
    assert ended.code == 2
    assert ended.err.startswith("Usage: ")


def test_interruption_says_how_to_go_on(project: Path) -> None:
    program = (
        "import sys, repro.listing, repro.cli\n"
        "def interrupt(kind):\n    raise KeyboardInterrupt\n"
        "repro.listing.listing = interrupt\nsys.argv = ['repro', 'list']\nrepro.cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr.strip() == (
        "repro: interrupted; finished models are kept, the same command continues from them"
    )


def test_an_error_of_ours_keeps_its_traceback(repro: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(kind: str | None) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(listing, "listing", broken)
    monkeypatch.setattr(sys, "argv", ["repro", "list"])
    with pytest.raises(ZeroDivisionError):
        main()


def test_module_is_the_same_command(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "repro", "plan", "--profile", "nope"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("repro: unknown profile 'nope'")
    assert done.stderr.count("\n") == 1


def test_a_slice_is_written_with_the_profiles(
    repro: Command, project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("profiles")
    shutil.copy(profiles.FOLDER / "tiny.yaml", folder)
    shutil.copy(profiles.FOLDER / "digits.yaml", folder)
    monkeypatch.setattr(profiles, "FOLDER", folder)
    options = ("--units", "2", "--images", "500", "--experiments", "tuning, sources")
    ended = repro("slice", "tiny", "--as", "few", *options)
    assert (ended.code, ended.err) == (0, "")
    assert (
        ended.out
        == f"{folder / 'few.yaml'}: a slice of tiny; `repro plan --profile few` says what it costs\n"
    )
    said = repro("plan", "--profile", "few").out
    assert "few: sources: " in said
    assert "few: left out: " in said
    assert "exposure (not in this slice)" in said


def test_evidence_is_brought(repro: Command, project: Path) -> None:
    there = project / "there"
    write_text(there / "tuning.csv", "run\nra\n")
    fingerprint = evidence_fingerprint(profiles.load_profile("tiny", project), "tuning")
    write_json(there / "tuning.fingerprint.json", fingerprint | {"table": checksum(there / "tuning.csv")})
    made = {
        "schema": 1,
        "commit": "c0ffee",
        "dirty": True,
        "made": "2026-11-20",
        "device": "cpu",
        "seconds": 1,
    }
    write_json(there / "tuning.provenance.json", made)
    command = ("bring", "there", "--profile", "tiny")
    refused = repro(*command)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert "--dirty" in refused.err
    assert not (project / "reports").exists()
    ended = repro(*command, "--dirty")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(
        "tuning: brought; from uncommitted changes to commit c0ffee, on cpu, 2026-11-20\n"
    )
    write_text(project / "reports" / "tiny" / "evidence" / "tuning.csv", "run\nrb\n")
    assert "--replace" in repro(*command, "--dirty").err
    assert repro(*command, "--dirty", "--replace").code == 0


def test_doctor_times_steps_when_asked(
    repro: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_LEAST_SECONDS", 0.01)
    assert "never measured; `repro doctor --time` estimates it" in repro("plan", "--profile", "tiny").out
    ended = repro("doctor", "--time", "--profile", "tiny")
    assert ended.code == 0
    assert "mlp, none, batches of 32: " in ended.err
    assert "an estimate from " in ended.out
    said = repro("plan", "--profile", "tiny").out
    assert "tiny: time: at most about " in said
    assert "never measured" not in said


def test_diff_exits_with_1_when_evidence_differs(repro: Command, project: Path) -> None:
    for name, cell in (("a", "0.5"), ("b", "0.5"), ("c", "0.75")):
        (project / name).mkdir()
        (project / name / "t.csv").write_text(f"run,asr\nra,{cell}\n", encoding="utf-8")
    same, other = repro("diff", "a", "b"), repro("diff", "a", "c")
    assert (same.code, same.out) == (0, "t.csv: 1 rows, the same\n1 of 1 tables are the same\n")
    assert (other.code, other.err) == (1, "")
    assert "  asr: 1 rows differ, by up to 0.25\n" in other.out


def test_diff_up_to_rounding_exits_with_1_when_a_verdict_differs(repro: Command, project: Path) -> None:
    for name, verdict in (("a", "reproduced"), ("b", "reproduced"), ("c", "contradicted")):
        write_text(project / name / "t.csv", "run,asr\nra,0.5\n")
        write_text(project / name / "verdicts.json", f'[{{"id": "truong-03", "verdict": "{verdict}"}}]')
    same, other = repro("diff", "--up-to-rounding", "a", "b"), repro("diff", "a", "c", "--up-to-rounding")
    assert (same.code, same.out) == (0, "t.csv: equal\nverdicts: the same\nexplained\n")
    assert (other.code, other.err) == (1, "")
    assert "  truong-03: reproduced before, contradicted after\n" in other.out
