"""Pieces of a user's own papers are found by name: in the project's folder, and in installed packages."""

import re
import sys
from pathlib import Path

import pytest
from own_project import TRIGGER, Write

from repro import plugins
from repro.claims.catalogue import load_claims
from repro.errors import ReproError
from repro.files import write_text
from repro.harness.plan import write_plan
from repro.harness.profile import load_profile
from repro.listing import listing
from repro.report import papers

PLACES = {
    "dataset": "data/datasets/kite.py",
    "trigger": "triggers/kite.py",
    "family": "families/kite.py",
    "attack": "attacks/kite.py",
    "architecture": "models/kite.py",
    "defence": "defences/kite.py",
    "experiment": "experiments/kite/__init__.py",
}
CLAIMS = """paper: mine
reference: "Mine (2026)"
inventory: 1
claims:
  {id}:
    title: Nothing is measured yet
    text: Nothing is measured yet.
    where: "1"
    kind: direction
    published: null
    pending: no experiment yet
"""


@pytest.mark.parametrize("kind", PLACES)
def test_a_piece_is_found_listed_and_imported(kind: str, write: Write) -> None:
    file = write(
        PLACES[kind],
        '"""A kite of mine."""\nOPTIONS = check = pattern = describe = draw = 1\nSettings = 2\nEXPERIMENT = 3\n',
    )
    assert plugins.file_of(kind, "kite") == file
    module = plugins.load(kind, "kite")
    assert (
        module.__name__
        == f"papers.mine.{PLACES[kind].removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"
    )
    assert module.__file__ == str(file)
    assert plugins.literal(kind, "kite", "Settings", None) == 2
    assert "A kite of mine." in listing({"family": "families"}.get(kind, f"{kind}s"))


def test_an_experiment_may_be_one_file(write: Write) -> None:
    write("experiments/kite.py", '"""One file."""\n')
    assert plugins.module_name("experiment", "kite") == "papers.mine.experiments.kite"


def test_a_paper_has_claims(write: Write) -> None:
    write("triggers/ring.py", TRIGGER)
    assert plugins.names("paper") == ("desanctis", "truong2020")
    write("claims.yaml", CLAIMS.format(id="mine_2-01"))
    assert plugins.title("paper", "mine") == "Mine."
    assert load_claims()["mine_2-01"].paper == "mine"
    assert "truong-01" in load_claims()


def test_only_a_project_has_papers(project: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("triggers/ring.py", TRIGGER)
    monkeypatch.chdir(project / "papers")
    assert "ring" not in plugins.names("trigger")
    monkeypatch.chdir(project)
    assert "ring" in plugins.names("trigger")
    (project / "params.yaml").unlink()
    plugins.forget()
    assert "ring" not in plugins.names("trigger")


def test_folders_of_other_things_are_left_alone(project: Path) -> None:
    write_text(project / "papers" / "truong" / "notes.txt", "a PDF lies here\n")
    write_text(project / "papers" / "read me.pdf", "")
    assert [root.prefix for root in plugins.roots()] == ["repro"]


def test_claims_without_init_are_refused(project: Path) -> None:
    write_text(project / "papers" / "mine" / "claims.yaml", CLAIMS.format(id="mine-01"))
    with pytest.raises(
        ReproError, match=r"papers/mine: a paper's folder has an __init__\.py, and a name of "
    ):
        plugins.names("trigger")


@pytest.mark.parametrize(("kind", "name"), [("trigger", "square"), ("experiment", "poison_rate")])
def test_the_name_of_a_piece_of_this_package_is_taken(kind: str, name: str, write: Write) -> None:
    there = plugins.file_of(kind, name)
    own = write(f"{kind}s/{name}.py", TRIGGER)
    message = (
        rf"^two pieces of kind {kind} are called '{name}': {re.escape(str(there))} and {re.escape(str(own))}$"
    )
    with pytest.raises(ReproError, match=message):
        plugins.names(kind)


def test_two_papers_cannot_have_a_piece_of_one_name(project: Path, write: Write) -> None:
    first = write("triggers/ring.py", TRIGGER)
    second = project / "papers" / "other" / "triggers" / "ring.py"
    write_text(second, TRIGGER)
    write_text(second.parents[1] / "__init__.py", "")
    with pytest.raises(
        ReproError, match=rf"called 'ring': {re.escape(str(first))} and {re.escape(str(second))}$"
    ):
        plugins.load("trigger", "ring")


def test_two_claims_cannot_have_one_id(write: Write) -> None:
    path = write("claims.yaml", CLAIMS.format(id="truong-01"))
    message = rf"claim truong-01: another file has this id too: {re.escape(str(path))}$"
    with pytest.raises(ReproError, match=message):
        load_claims()


def test_what_a_piece_lacks_is_said(write: Write) -> None:
    path = write("triggers/ring.py", TRIGGER.replace("def check", "def examine"))
    with pytest.raises(ReproError, match=rf"^{re.escape(str(path))}: trigger 'ring' does not define check$"):
        plugins.load("trigger", "ring")


def test_a_file_that_is_not_python_is_said_in_one_line(write: Write) -> None:
    path = write("triggers/ring.py", '"""A ring."""\ndef check(:\n')
    with pytest.raises(ReproError, match=rf"^{re.escape(str(path))}:2: not valid Python"):
        listing("triggers")


def test_another_module_of_that_name_is_said(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("", "/mine", "/mine/triggers"):
        write_text(tmp_path / f"first/papers{part}/__init__.py", "")
    write_text(tmp_path / "first/papers/mine/triggers/ring.py", TRIGGER)
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    path = write("triggers/ring.py", TRIGGER)
    with pytest.raises(
        ReproError, match=rf"^{re.escape(str(path))}: another module is called papers\.mine\."
    ):
        plugins.load("trigger", "ring")


def install(folder: Path, package: str, value: str) -> None:
    """A package in a folder of installed ones, which names a paper."""
    write_text(folder / package.replace(".", "/") / "__init__.py", '"""Installed."""\n')
    write_text(folder / package.replace(".", "/") / "triggers" / "ring.py", TRIGGER)
    about = folder / "elsewhere-1.0.dist-info"
    write_text(about / "METADATA", "Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    write_text(about / "entry_points.txt", f"[repro.papers]\nany = {value}\n")


@pytest.mark.parametrize("package", ["elsewhere", "elsewhere.studies.rings"])
def test_an_installed_package_is_found_by_its_entry_point(
    package: str, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", package, package)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert "ring" in plugins.names("trigger")
    assert plugins.load("trigger", "ring").__name__ == f"{package}.triggers.ring"
    assert (
        plugins.code_path(f"{package}.triggers") == tmp_path / "site" / package.replace(".", "/") / "triggers"
    )
    assert plugins.code_path("numpy.linalg") is None


def test_an_entry_point_without_its_package_is_said(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "elsewhere", "elsewhere.gone")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    message = r"^entry point any of elsewhere in group repro\.papers: there is no package 'elsewhere\.gone'$"
    with pytest.raises(ReproError, match=message):
        plugins.names("trigger")


def test_an_installed_paper_that_is_the_projects_own_counts_once(
    project: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("triggers/ring.py", TRIGGER)
    install(project, "papers.mine", "papers.mine")
    monkeypatch.syspath_prepend(str(project))
    assert [root.prefix for root in plugins.roots()] == ["repro", "papers.mine"]
    assert sys.path.count(str(project)) == 1


def test_the_plan_of_judging_follows_the_papers_claims(project: Path, write: Write) -> None:
    path = write("claims.yaml", CLAIMS.format(id="mine-01"))
    profile = load_profile("tiny", project)
    plan = project / "data" / "plan" / "tiny" / "claims.json"
    known = {}  # what the experiments depend on is not looked at
    write_plan(project, profile.model_copy(update={"experiments": {}}), known)
    before = plan.read_text(encoding="utf-8")
    path.write_text(CLAIMS.format(id="mine-02"), encoding="utf-8")
    write_plan(project, profile.model_copy(update={"experiments": {}}), known)
    assert before != plan.read_text(encoding="utf-8")


def test_a_report_in_another_folder_knows_nothing_of_a_paper_of_ones_own(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write("claims.yaml", CLAIMS.replace("{id}", "mine-01"))
    here = papers.order()
    assert "mine" in here
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert papers.order() == tuple(paper for paper in here if paper != "mine")
