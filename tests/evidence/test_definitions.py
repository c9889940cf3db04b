"""A definition's hash changes with what it means, and with nothing that only explains it."""

import ast
from pathlib import Path

import pytest

from repro.harness.evidence import definitions
from repro.harness.evidence.definitions import form

SOURCE = '''
def area(side: int, more: float = 1.0) -> int:
    """Of a square."""
    total: int = side * side
    text = "this"
    if total < 0:
        raise ValueError(f"negative: {side}")
    return total + len(text)


class Shape:
    """A shape."""

    side: int
    name: str = "square"
'''


def written(source: str) -> list[str]:
    return [form(node) for node in ast.parse(source).body]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""Of a square."""', '"""Of any\n\n    square."""'),
        ("side: int, more: float = 1.0) -> int", "side, more=1.0)"),
        ("total: int = side", "total = side"),
        ('f"negative: {side}"', '"less than nothing"'),
        ("    text = ", "    # why\n    other: int\n    text = "),
        ("return total + len(text)", "return (\n        total + len(text)\n    )"),
        ("side: int\n", "side: float\n"),
    ],
)
def test_explaining_changes_nothing(before: str, after: str) -> None:
    assert before in SOURCE
    assert written(SOURCE.replace(before, after)) == written(SOURCE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("side * side", "side + side"),
        ('"this"', '"that"'),
        ("1.0", "1"),
        ("ValueError(", "TypeError("),
        ("side: int\n", "width: int\n"),
        ('name: str = "square"', 'name = "square"'),
        ("total < 0", "total <= 0"),
    ],
)
def test_code_changes_something(before: str, after: str) -> None:
    assert before in SOURCE
    assert written(SOURCE.replace(before, after)) != written(SOURCE)


@pytest.fixture
def reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(definitions, "PACKAGE", tmp_path)
    files = {
        "__init__": "",
        "a": "from repro.b import f as g\nimport repro.c as c\nfrom repro import d\n"
        "def root():\n    return g() + c.one() + d.LEFT\ndef unused():\n    return 1\n",
        "b": "def f():\n    from repro.e import late\n    return late\ndef unused():\n    return 2\n",
        "c": "def one():\n    return two\ntwo, three = 2, 3\nfour = 4\n",
        "d": "LEFT, RIGHT = 1, 2\nprint(RIGHT)\n",
        "e": "def late():\n    return 1\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    definitions.module_of.cache_clear()
    found = set(definitions.definitions([("repro.a", "root")], frozenset()))
    definitions.module_of.cache_clear()
    return found


def test_names_are_followed_to_their_definitions(reached: set[str]) -> None:
    assert reached == {
        "repro.a:root",
        "repro.b:f",
        "repro.c:one",
        "repro.c:three",
        "repro.c:two",
        "repro.d:(module)",
        "repro.d:LEFT",
        "repro.d:RIGHT",
        "repro.e:late",
    }
