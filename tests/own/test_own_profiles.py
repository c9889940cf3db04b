"""Profiles that are not this package's: in the project's folder, in a paper's, and given by path."""

import re
import sys
from pathlib import Path

import pytest
from own_project import TRIGGER, Write

from repro import plugins
from repro.cli import main
from repro.errors import ReproError
from repro.files import write_text
from repro.harness import profile as profiles
from repro.harness.profile import OTHER_PAPER, load_parameters, load_profile
from repro.listing import listing

SLICE = "title: less of it\nslice_of: tiny\nunits: 2\n"


def test_a_profile_of_the_project_and_one_of_a_paper_are_found_by_name(project: Path, write: Write) -> None:
    write_text(project / "profiles" / "less.yaml", SLICE)
    write("profiles/least.yaml", SLICE.replace("2", "1"))
    assert [load_profile(name, project).units for name in ("less", "least")] == [2, 1]
    assert "less of it" in listing("profiles")
    write_text(project / "params.yaml", "profile: least\nseeds: {evidence: 1, tuning: 100001}\n")
    assert load_parameters(project).profile == "least"


def test_a_profile_may_take_a_trigger_of_a_paper(project: Path, write: Write) -> None:
    write("triggers/ring.py", TRIGGER)
    write_text(project / "profiles" / "less.yaml", SLICE + "triggers: {ring: {alpha: 0.5}}\n")
    assert load_profile("less", project).trigger("ring").options == {"value": 1.0}


def test_two_profiles_cannot_have_one_name(project: Path) -> None:
    write_text(project / "profiles" / "tiny.yaml", SLICE)
    own = re.escape(str(project / "profiles" / "tiny.yaml"))
    with pytest.raises(ReproError, match=rf"^two profiles are called 'tiny': .*/tiny\.yaml and {own}$"):
        load_profile("tiny", project)


def test_a_wrong_profile_of_the_project_is_named_by_its_path(project: Path) -> None:
    write_text(project / "profiles" / "less.yaml", SLICE + "unit: 3\n")
    with pytest.raises(ReproError, match=r"^profiles/less\.yaml: unit: Extra inputs"):
        load_profile("less", project)


def test_a_profile_is_given_by_path(project: Path, tmp_path: Path) -> None:
    write_text(tmp_path / "elsewhere" / "less.yaml", SLICE)
    with pytest.raises(ReproError, match="unknown profile 'less'"):
        load_profile("less", project)
    assert profiles.give(tmp_path / "elsewhere" / "less.yaml") == "less"
    assert load_profile("less", project).units == 2


def test_a_profile_given_by_path_may_be_one_that_is_found(project: Path) -> None:
    write_text(project / "profiles" / "less.yaml", SLICE)
    assert profiles.give(Path("profiles/less.yaml")) == "less"
    assert load_profile("less", project).units == 2


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "tiny.yaml",
            r"two profiles are called 'tiny': .*repro/profiles/tiny\.yaml and .*elsewhere/tiny\.yaml",
        ),
        ("gone.yaml", r"--profile .*elsewhere/gone\.yaml: no such file"),
        (
            "le ss.yaml",
            r"--profile .*elsewhere/le ss\.yaml: NAME\.yaml is wanted, of letters, digits and underscores",
        ),
        (
            "less.json",
            r"--profile .*elsewhere/less\.json: NAME\.yaml is wanted, of letters, digits and underscores",
        ),
    ],
)
def test_a_path_that_cannot_be_a_profile_is_one_line(
    file: str,
    message: str,
    tmp_path: Path,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "elsewhere" / file
    if "gone" not in file:
        write_text(path, SLICE)
    monkeypatch.setattr(sys, "argv", ["repro", "claims", "--profile", str(path)])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 2
    assert re.fullmatch(rf"repro: {message}\n", capsys.readouterr().err)
    assert profiles.files().keys() >= {"tiny"}


def test_a_profile_of_some_papers_leaves_the_others_out(project: Path) -> None:
    write_text(
        project / "profiles" / "less.yaml",
        SLICE.replace("units: 2", "papers: [truong2020]") + "leaves_out: {tuning: no time}\n",
    )
    profile = load_profile("less", project)
    assert {"poison_rate", "sources"} <= profile.experiments.keys()
    assert profile.left_out == {"tuning": "no time"}
    assert profile.leaves_out.keys() | profile.experiments.keys() == set(plugins.names("experiment"))
    others = {name for name, reason in profile.leaves_out.items() if reason == OTHER_PAPER}
    assert others == profile.leaves_out.keys() - {"tuning"}
    assert {"latent", "targeted"} <= others
    assert not others & profile.experiments.keys()


def test_an_unknown_paper_is_refused(project: Path) -> None:
    write_text(project / "profiles" / "less.yaml", SLICE + "papers: [trong]\n")
    message = r"^profiles/less\.yaml: papers: unknown paper 'trong': there are desanctis, truong2020$"
    with pytest.raises(ReproError, match=message):
        load_profile("less", project)
