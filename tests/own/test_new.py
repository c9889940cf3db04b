"""`repro new` writes a paper that works, or nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from repro import new, plugins
from repro.claims.catalogue import load_claims
from repro.errors import ReproError
from repro.files import write_text
from repro.harness.profile import load_profile
from repro.new import write_paper
from repro.report import write_report

PACKAGE = Path(plugins.__file__).parents[1]


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def test_the_paper_is_found_whole(project: Path) -> None:
    assert write_paper(project, "mine") == [project / "papers" / "mine"]
    assert {"mine_frame"} < set(plugins.names("trigger"))
    assert load_claims()["mine-01"].experiments == ("mine_rate",)
    assert list(load_profile("mine", project).experiments) == ["mine_rate"]
    assert not [name for name in files(project) if "PAPER" in name or name.endswith(".txt")]
    for path in (project / "papers").rglob("*.*"):
        assert "PAPER" not in path.read_text(encoding="utf-8")


def test_two_of_them_lie_side_by_side(project: Path) -> None:
    for name in ("mine", "yours2"):
        write_paper(project, name)
    assert {"mine_frame", "yours2_frame"} < set(plugins.names("trigger"))
    assert {"mine-01", "yours2-01"} < load_claims().keys()


def test_a_folder_becomes_a_project(project: Path) -> None:
    (project / "params.yaml").unlink()
    assert write_paper(project, "mine") == [project / "papers" / "mine", project / "params.yaml"]
    assert load_profile("mine", project).seeds.evidence == 1


def test_the_parameters_of_a_project_are_left_alone(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    write_paper(project, "mine")
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My paper", "'My paper': a name of small letters, digits and underscores is wanted, a letter first"),
        ("../mine", "'../mine': a name of small letters, digits and underscores is wanted, a letter first"),
        (
            "2020_mine",
            "'2020_mine': a name of small letters, digits and underscores is wanted, a letter first",
        ),
        ("class", "'class': a word of Python's cannot be a name"),
        ("truong2020", "'truong2020' is taken: there is papers/truong2020 already"),
        ("poison", "'poison' is taken: there is experiment poison_rate already"),
        ("digits", "'digits' is taken: there is profile digits already"),
        ("truong", "'truong' is taken: there is claim truong-01 already"),
        ("there", "'there' is taken: there is papers/there already"),
    ],
)
def test_a_name_that_is_none_or_is_taken_is_one_line(name: str, message: str, project: Path) -> None:
    write_text(project / "papers" / "there" / "notes.txt", "")
    before = files(project)
    with pytest.raises(ReproError, match=rf"^{re.escape(message)}$"):
        write_paper(project, name)
    assert files(project) == before


@pytest.mark.parametrize("failing", ["claims.yaml", "test_mine.py", "params.yaml"])
def test_what_cannot_be_written_leaves_nothing(
    failing: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "params.yaml").unlink()

    def full(path: Path, text: str) -> None:
        if path.name == failing:
            raise ReproError(f"{path.name}: cannot write (No space left on device)")
        write_text(path, text)

    monkeypatch.setattr(new, "write_text", full)
    with pytest.raises(ReproError, match="No space left"):
        write_paper(project, "mine")
    assert files(project) == []


def test_what_cannot_be_put_in_its_place_leaves_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "params.yaml").unlink()

    def refuse(path: Path, target: Path) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(
        ReproError, match=r"papers/mine: cannot write \(Permission denied\); nothing was changed$"
    ):
        write_paper(project, "mine")
    assert files(project) == []


def test_a_report_without_pictures_has_their_folder_all_the_same(project: Path) -> None:
    write_paper(project, "mine")
    page = write_report(project, "mine").read_text(encoding="utf-8")
    assert (project / "reports" / "mine" / "figures").is_dir()
    assert "Headline claims" not in page
    assert "truong" not in page
    assert "What differs" not in (project / "reports" / "mine" / "setup.md").read_text(encoding="utf-8")


def typed(readme: str) -> list[str]:
    """The commands of a README, in its order."""
    return [
        line.strip()
        for block in re.findall(r"```\n(.*?)```", readme, re.DOTALL)
        for line in block.splitlines()
    ]


@pytest.mark.slow
def test_what_its_readme_says_works_word_for_word(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "REPRO_", "PYTEST_"))}

    def does(command: str, *, fails: bool = False) -> str:
        words = command.strip().split()
        script = {"repro": ["-m", "repro"], "pytest": ["-m", "pytest", "-p", "no:cacheprovider"]}[words[0]]
        done = subprocess.run(
            [sys.executable, *script, *words[1:]],
            cwd=tmp_path,
            env=environment | {"PATH": path, "PYTHONPATH": str(PACKAGE)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    does("repro new mine")
    readme = (tmp_path / "papers" / "mine" / "README.md").read_text(encoding="utf-8")
    commands = [line for line in typed(readme) if line.startswith(("repro ", "pytest "))]
    assert [command.split()[:2] for command in commands] == [
        ["repro", "run"],
        ["repro", "claims"],
        ["repro", "report"],
        ["pytest", "papers/mine"],
    ]
    said = [does(command) for command in commands]
    assert "180 models" in said[0]
    assert "mine: 1 claims: 1 reproduced" in said[1]
    assert "3 passed, 1 skipped" in said[3]
    (verdict,) = json.loads((tmp_path / "reports/mine/verdicts.json").read_text(encoding="utf-8"))
    assert verdict["n"] == 60
    assert "1 reproduced" in (tmp_path / "reports/mine/README.md").read_text(encoding="utf-8")
    (expected,) = [line for line in typed(readme) if line.startswith("mine-01")]
    write_text(tmp_path / "claims/expected/mine.yaml", f"{expected}\n")
    assert "4 passed" in does("pytest papers/mine")

    assert "180 of 180 models are cached" in does(
        "repro run mine_rate --profile papers/mine/profiles/mine.yaml"
    )
    trigger = tmp_path / "papers/mine/triggers/mine_frame.py"
    text = trigger.read_text(encoding="utf-8")
    write_text(trigger, text.replace("np.zeros((1, 1", "0 * np.ones((1, 1"))
    line = "stale: code changed: papers/mine/triggers/mine_frame.py: pattern; `repro run mine_rate`"
    assert line in does("pytest papers/mine", fails=True)
    assert "180 models to train" in does("repro run mine_rate --profile mine")
    assert "4 passed" in does("pytest papers/mine")
