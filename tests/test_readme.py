"""The README states what the verdicts in git say and shows a picture that the report makes; its links resolve."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from repro import plugins
from repro.claims.catalogue import Claim, load_claims

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOUND = README.partition("## What was found\n")[2].partition("\n## ")[0]
PROFILES = sorted(path.parent.name for path in (ROOT / "reports").glob("*/verdicts.json"))
HEADLINES = [claim for claim in load_claims().values() if claim.headline]
OUTCOMES = ("reproduced", "contradicted", "inconclusive", "reported", "not applicable", "not measured")


def verdicts(profile: str) -> dict[str, Any]:
    listed = json.loads((ROOT / "reports" / profile / "verdicts.json").read_text(encoding="utf-8"))
    return {verdict["id"]: verdict for verdict in listed}


def table(first: str) -> list[list[str]]:
    """Cells of the rows of the table whose header begins so, the header first and without the ruler."""
    block = re.search(rf"^\| {first} \|.*\n(?:\|.*\n)+", FOUND, re.M)
    assert block, f"no table that begins with {first!r}"
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.group().splitlines()]
    return [lines[0], *lines[2:]]


def test_every_profile_in_git_is_counted_as_its_verdicts_are() -> None:
    header, *rows = table("profile")
    assert header[2:] == [*OUTCOMES[:3], "reported only", *OUTCOMES[4:]]
    named = {re.sub(r"\[`(.*)`\].*", r"\1", row[0]): row[1:] for row in rows}
    assert sorted(named) == PROFILES
    for profile, cells in named.items():
        found = Counter(verdict["verdict"] for verdict in verdicts(profile).values())
        assert cells == [str(found.total()), *(str(found[outcome]) for outcome in OUTCOMES)], profile


@pytest.mark.parametrize("claim", HEADLINES, ids=lambda claim: claim.id)
def test_headline_claims_are_stated_with_their_verdicts_and_figures(claim: Claim) -> None:
    header, *rows = table("headline claim")
    profiles = [cell.strip("`") for cell in header[1:]]
    assert sorted(profiles) == PROFILES
    (row,) = (row for row in rows if row[0] == f"{claim.title} (`{claim.id}`)")
    for profile, cell in zip(profiles, row[1:], strict=True):
        found = verdicts(profile)[claim.id]
        link, _, figures = cell.replace("\u2212", "-").partition(" ")
        if found["estimate"] is None:
            link, figures = cell, ""
        assert link == f"[{found['verdict']}](reports/{profile}/claims.md#{claim.id})", profile
        wanted = [found["estimate"], *found["interval"]] if found["estimate"] is not None else []
        stated = [float(number) for number in re.findall(r"[+-]\d\.\d{3}", figures)]
        assert stated == pytest.approx(wanted, abs=tolerance(profile, found)), profile


def tolerance(profile: str, found: Any) -> float:
    """The printed rounding; and of verdicts made anew, on a machine that rounds otherwise, a part of the interval."""
    verdicts_file = f"reports/{profile}/verdicts.json"
    as_in_git = subprocess.run(["git", "diff", "--quiet", "HEAD", verdicts_file], cwd=ROOT, check=False)
    if found["interval"] is None or as_in_git.returncode == 0:
        return 0.00051
    return float(found["interval"][1] - found["interval"][0]) / 8


def test_only_headline_claims_stand_in_the_table_of_headline_claims() -> None:
    assert len(table("headline claim")) == 1 + len(HEADLINES)


def test_what_was_found_stands_first_with_a_picture_of_the_report_on_digits() -> None:
    assert README.index("## ") == README.index("## What was found")
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", FOUND)
    assert (ROOT / picture).is_file()
    assert picture.removeprefix("reports/digits/") in (ROOT / "reports/digits/README.md").read_text("utf-8")


def test_every_experiment_is_in_the_tables_of_experiments() -> None:
    named = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", README.partition("## How to read")[0], re.M)
    assert sorted(", ".join(named).replace("`", "").split(", ")) == sorted(plugins.names("experiment"))


def test_every_link_of_the_readme_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]*)\)", README)
    assert len(targets) > 10
    for target in targets:
        file, _, place = target.partition("#")
        assert (ROOT / file).is_file(), target
        assert not place or f'<a id="{place}"></a>' in (ROOT / file).read_text(encoding="utf-8"), target
