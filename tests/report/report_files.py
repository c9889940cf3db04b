"""Reading a report's Markdown back: the places of a page, and where its links and pictures lead."""

import re
from collections.abc import Iterator
from pathlib import Path


def places(page: Path) -> set[str]:
    """What ``#...`` may name on a page: its headings, as git hosts name them, and its anchors."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}
    return slugs | set(re.findall(r'<a id="([^"]*)">', text))


def targets(page: Path) -> list[str]:
    """Every relative link and picture of a page, as written."""
    found = re.findall(r"(?<!\\)\]\(([^)]*)\)", page.read_text(encoding="utf-8"))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def broken(page: Path) -> Iterator[str]:
    """The links of a page that lead nowhere, with the reason."""
    for target in targets(page):
        file, _, place = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        if not path.exists():
            yield f"{page}: {target}: no such file"
        elif place and place not in places(path):
            yield f"{page}: {target}: no such place"


def pages_of(folder: Path) -> list[Path]:
    """Every Markdown file of a profile's report."""
    return sorted(folder.rglob("*.md"))


def shown(folder: Path) -> set[Path]:
    """The pictures that the pages of a profile's report show."""
    return {
        (page.parent / target).resolve()
        for page in pages_of(folder)
        for target in targets(page)
        if target.endswith(".png")
    }
