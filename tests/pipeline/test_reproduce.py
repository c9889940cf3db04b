"""`dvc repro` as users know it: it trains, does nothing twice, runs what a change touches and nothing else."""

import json
import re
import shutil

from tiny_project import Project


def trained(output: str) -> list[str]:
    """What was trained, as 'experiment phase', by the lines that say so."""
    return re.findall(r"^(\w+ \w+): \d+ fleets to train$", output, re.MULTILINE)


def test_it_trains_writes_evidence_verdicts_and_report_and_says_where(finished: Project) -> None:
    evidence = finished.evidence()
    assert sorted(evidence) == [
        "exposure.csv",
        "membership_metric.csv",
        "poison_statistics.csv",
        "regularisers.csv",
        "sources.csv",
        "trigger_by_model.csv",
        "tuning.csv",
    ]
    verdicts = json.loads((finished.root / "reports/tiny/verdicts.json").read_text())
    too_small = [v for v in verdicts if "n too small" in v["reason"]]
    assert {v["verdict"] for v in too_small} == {"inconclusive"}
    assert "truong-09" in {v["id"] for v in too_small}
    assert (finished.root / "reports/tiny/README.md").stat().st_size > 5000


def test_a_second_time_it_trains_nothing_and_changes_nothing(reproduced: Project) -> None:
    before = {p: p.read_bytes() for p in (reproduced.root / "reports").rglob("*") if p.is_file()}
    output = reproduced.reproduce()
    assert trained(output) == []
    assert "nothing to train" in output
    assert before == {p: p.read_bytes() for p in (reproduced.root / "reports").rglob("*") if p.is_file()}


def test_a_fresh_clone_trains_again_although_the_evidence_is_there(reproduced: Project) -> None:
    """Weights and records are not in git."""
    for folder in (".repro", "data", ".dvc/cache"):
        shutil.rmtree(reproduced.root / folder, ignore_errors=True)
    before = reproduced.evidence()
    status, output = reproduced.run("dvc", "repro", "train@tiny-sources")
    assert status == 0, output
    assert trained(output) == ["sources train"]
    assert reproduced.evidence() == before


def test_a_retraining_parameter_retrains_and_trains_no_poisoned_model(reproduced: Project) -> None:
    reproduced.change("repro/profiles/tiny.yaml", "  epochs: 2\npoison_rate", "  epochs: 3\npoison_rate")
    assert trained(reproduced.reproduce()) == ["trigger_by_model retrain"]


def test_a_tolerance_and_a_template_train_nothing(reproduced: Project) -> None:
    reproduced.change("repro/claims/truong2020.yaml", "minimum: 0.05", "minimum: 0.06")
    reproduced.change("repro/report/__init__.py", '"""', '"""Changed. ')
    output = reproduced.reproduce()
    assert trained(output) == []
    assert "Running stage 'claims@tiny'" in output
    assert "Running stage 'report@tiny'" in output
    assert "Running stage 'evidence" not in output


def test_changed_training_code_is_trained_anew_and_a_comment_is_not(reproduced: Project) -> None:
    """A row computed by older code is never taken for a current one."""
    reproduced.change("repro/attacks/dirty_label.py", "shift = ", "# why\n    shift = ")
    assert trained(reproduced.reproduce()) == []
    reproduced.change("repro/attacks/dirty_label.py", "shift = ", "shift = 0 + ")
    assert trained(reproduced.reproduce()) == ["exposure train", "exposure expose"]


def test_a_new_piece_leaves_every_experiment_alone(reproduced: Project) -> None:
    piece = reproduced.root / "repro/triggers/nothing.py"
    piece.write_text('"""A trigger that nothing uses."""\n\nOPTIONS: dict[str, object] = {}\n')
    assert trained(reproduced.reproduce()) == []
