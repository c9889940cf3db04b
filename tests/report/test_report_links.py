"""The pages of a report hang together: every link leads somewhere, every page is linked, every picture is shown."""

from collections.abc import Callable
from pathlib import Path

import pytest
from report_files import broken, pages_of, shown, targets

from repro.report import write_report

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = sorted(path.parent.name for path in (ROOT / "reports").glob("*/verdicts.json"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Path]) -> Path:
    """The folder ``reports`` of a project with evidence of all experiments but two."""
    root = make_project(tmp_path_factory.mktemp("links"), units=2, without=("exposure", "sources"))
    write_report(root, "digits")
    return root / "reports"


def whole(folder: Path) -> None:
    """Asserts that a profile's report hangs together."""
    pages = pages_of(folder)
    assert {"README.md", "claims.md", "setup.md"} < {page.name for page in pages}
    assert [problem for page in pages for problem in broken(page)] == []
    linked = {(page.parent / t.partition("#")[0]).resolve() for page in pages for t in targets(page)}
    assert {page.resolve() for page in pages} <= linked, "a page that no page links"
    assert shown(folder) == {path.resolve() for path in (folder / "figures").iterdir()}


def test_links_anchors_and_pictures_of_a_report_and_its_overview_resolve(written: Path) -> None:
    whole(written / "digits")
    assert list(broken(written / "README.md")) == []
    assert len(targets(written / "README.md")) > 50


@pytest.mark.parametrize("profile", COMMITTED)
def test_links_anchors_and_pictures_of_the_reports_in_git_resolve(profile: str) -> None:
    whole(ROOT / "reports" / profile)


def test_experiments_are_a_chain_from_the_first_to_the_last(written: Path) -> None:
    folder = written / "digits" / "experiments"
    ways = {page.name: page.read_text().splitlines()[0] for page in folder.iterdir()}
    (place,) = (name for name, way in ways.items() if "\u2190" not in way)
    walked = [place]
    while "\u2192](" in ways[place]:
        place = ways[place].rpartition("](")[2].removesuffix(")")
        assert f"]({walked[-1]})" in ways[place], "the way back"
        walked.append(place)
    assert sorted(walked) == sorted(ways)
    assert all("](../README.md)" in way for way in ways.values())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("[x](experiments/nothing.md)", "no such file"),
        ("[x](claims.md#truong-99)", "no such place"),
        ("![x](figures/nothing.png)", "no such file"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(written: Path, tmp_path: Path, change: str, problem: str) -> None:
    (tmp_path / "claims.md").write_text((written / "digits" / "claims.md").read_text())
    page = tmp_path / "README.md"
    page.write_text(f"# A page\n\n{change}, [fine](claims.md#truong-09)\n")
    (found,) = broken(page)
    assert problem in found
