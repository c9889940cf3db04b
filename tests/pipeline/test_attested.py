"""`repro attest` in a project of its own: refactorings cost no training, and a change of meaning stays stale."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tiny_project import LEFT_OUT, Project, new_project

pytestmark = pytest.mark.slow

EVIDENCE = "reports/tiny/evidence"
BACKDOOR = "repro/papers/backdoors/work.py"


def commit(project: Project) -> None:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    for command in (["add", "-A"], [*identity, "commit", "-qm", "next"]):
        subprocess.run(["git", *command], cwd=project.root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the evidence of one experiment, committed."""
    left_out = [name for name in LEFT_OUT if name != "poison_rate"]
    project = new_project(tmp_path_factory.mktemp("made"), left_out)
    project.change(".gitignore", "/reports/tiny/\n", "")
    project.change("repro/profiles/tiny.yaml", "  poison_rate: {units: 2,", "  poison_rate: {units: 1,")
    commit(project)
    status, output = project.run("repro", "run", "poison_rate")
    assert status == 0, output
    commit(project)
    return project


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    shutil.copytree(made.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def attest(project: Project, *options: str) -> tuple[int, str]:
    return project.run("repro", "attest", "poison_rate", *options)


def evidence_line(project: Project) -> str:
    """What the gate says of the evidence."""
    asked = "from repro.harness.evidence.fingerprint import staleness; from pathlib import Path; "
    status, output = project.run("python", "-c", f"{asked}print(staleness(Path(), 'tiny', 'poison_rate'))")
    assert status == 0, output
    return output.strip()


def refactor(project: Project) -> None:
    """Rename a local, extract a helper, move a function to another file, reword an error, rewrite rows."""
    project.change(BACKDOOR, "joined", "together")
    project.change(
        BACKDOOR,
        "(engine.logits_of(models, pool, split.indices).argmax(-1) == split.labels).sum(1)",
        "_correct(engine, models, pool, split).sum(1)",
    )
    path = project.root / BACKDOOR
    text = path.read_text(encoding="utf-8")
    start, end = text.index("def _on("), text.index("def _accuracies")
    moved = text[start:end].rstrip().replace("_on(", "on_device(")
    opening = '"""Splits on a device."""\n\nimport torch\n\nfrom repro.training.fleet import Split\n\n\n'
    (project.root / "repro/training/moved.py").write_text(f"{opening}{moved}\n", encoding="utf-8")
    helper = (
        "def _correct(engine: Any, models: Any, pool: Any, split: Any) -> Any:\n"
        "    return engine.logits_of(models, pool, split.indices).argmax(-1) == split.labels\n\n\n"
    )
    text = (text[:start] + helper + text[end:]).replace("_on(", "on_device(")
    text = text.replace(
        "from repro.harness.outcome",
        "from repro.training.moved import on_device\nfrom repro.harness.outcome",
    )
    path.write_text(text, encoding="utf-8")
    project.change("repro/attacks/backdoor.py", "is outside (0, 1]", "is no rate")
    rows = "repro/papers/truong2020/experiments/poison_rate/__init__.py"
    project.change(rows, "floor = ", "below = ")
    project.change(rows, "[run.id], floor)", "[run.id], below)")


def test_refactorings_are_attested_and_train_nothing(project: Project) -> None:
    plan = project.root / "data/plan/tiny/poison_rate.json"
    assert project.run("repro", "plan")[0] == 0
    planned, stored = plan.read_bytes(), project.evidence()
    refactor(project)
    assert "`repro attest` proves it means the same" in evidence_line(project)
    status, output = attest(project)
    assert status == 2
    assert "is not committed; commit first" in output
    commit(project)
    status, output = attest(project)
    assert status == 0, output
    assert re.search(r"poison_rate: attested, \d+ definitions changed", output)
    assert evidence_line(project) == "None"
    assert project.run("repro", "plan")[0] == 0
    assert plan.read_bytes() == planned
    status, output = project.run("repro", "run", "poison_rate")
    assert "5 of 5 models are cached" in output
    assert project.evidence() == stored
    assert attest(project) == (0, "nothing to attest: no evidence is stale\n")
    trees = subprocess.run(["git", "worktree", "list"], cwd=project.root, capture_output=True, check=True)
    assert len(trees.stdout.splitlines()) == 1
    # What was written is not believed once it was edited.
    path = project.root / EVIDENCE / "poison_rate.attested.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["links"][0]["changed"]["phase train"].popitem()
    path.write_text(json.dumps(content), encoding="utf-8")
    status, output = attest(project)
    assert status == 2
    assert "link 1 does not lead from known code to what it states" in output


def test_another_meaning_is_named_by_run_field_and_values_and_stays_stale(project: Project) -> None:
    project.change("repro/training/stack.py", "* 2 - 1) / sqrt(fan_in)", "* 2 - 1) / sqrt(fan_in + 1)")
    project.change("repro/harness/task.py", "os._exit(1)", "os._exit(3)")
    commit(project)
    status, output = attest(project)
    assert status == 1, output
    assert re.search(r"^different: poison_rate train r\w{15}: \S+ \S+ -> \S+$", output, re.MULTILINE), output
    assert "repro.harness.task:begin_worker changed, and no witness executed it (poison_rate); " in output
    assert "poison_rate: stays stale" in output
    assert evidence_line(project).startswith(f"{EVIDENCE}/poison_rate.csv: stale: code changed")
    assert not (project.root / EVIDENCE / "poison_rate.attested.json").exists()


def test_what_no_witness_executes_needs_a_reason(project: Project) -> None:
    project.change("repro/harness/task.py", "os._exit(1)", "os._exit(3)")
    commit(project)
    name = "repro.harness.task:begin_worker"
    status, output = attest(project, "--accept", f"{name}=only a code of exit")
    assert status == 0, output
    assert f"{name} accepted: only a code of exit" in output
    content = json.loads((project.root / EVIDENCE / "poison_rate.attested.json").read_text(encoding="utf-8"))
    assert content["links"][0]["accepted"] == {name: "only a code of exit"}


def test_rows_of_another_meaning_stay_stale(project: Project) -> None:
    project.change("repro/papers/backdoors/grid.py", '["poisoned_accuracy"]', '["clean_accuracy"]')
    commit(project)
    status, output = attest(project)
    assert status == 1
    assert re.search(
        r"different: poison_rate row r\w{15}: poisoned_accuracy \S+ -> \S+$", output, re.MULTILINE
    )
    assert "0 models" in output


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"dirty": True}, "made by uncommitted changes to commit"),
        ({"commit": "0" * 40}, "is not in this repository"),
        ({"commit": None}, "made outside of git"),
        ({"device": "NVIDIA H100"}, "made on NVIDIA H100"),
    ],
)
def test_what_cannot_be_compared_is_refused(project: Project, spoil: dict[str, object], said: str) -> None:
    path = project.root / EVIDENCE / "poison_rate.provenance.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | spoil), encoding="utf-8")
    project.change("repro/harness/task.py", "os._exit(1)", "os._exit(3)")
    commit(project)
    status, output = attest(project)
    assert status == 2
    assert said in output
    assert len(output.splitlines()) == 1


def test_a_change_of_parameters_is_no_matter_of_proof(project: Project) -> None:
    project.change("repro/profiles/tiny.yaml", "poison_rates: [0.05, 0.4]", "poison_rates: [0.05, 0.5]")
    project.change("repro/harness/task.py", "os._exit(1)", "os._exit(3)")
    commit(project)
    status, output = attest(project)
    assert status == 2
    assert "not by code alone: parameters of phase train changed" in output
