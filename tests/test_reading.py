"""One reader of YAML: strict, and wrong input is one line."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from repro.errors import ReproError
from repro.reading import checked, read_mapping, read_yaml


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sides: list[int]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", ":5: key 'c' is given twice"),
        (b"a: 1\n'a': 2\n", ":2: key 'a' is given twice"),
        (b"? [1]\n: 2\n", ":1: found unhashable key"),
        (b"a: !!python/object/apply:os.getcwd []\n", ":1: could not determine a constructor for the tag "),
        (b"a: [1\n", ":2: did not find expected ',' or ']'"),
        (b"a: \x07\n", ": not YAML (unacceptable character "),
        (b"\xff", ": cannot be read as text ("),
        (b"- a\n", ": a mapping is wanted, not list"),
        (b"", ": a mapping is wanted, not NoneType"),
    ],
)
def test_what_is_no_mapping_of_plain_data_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    for where in (None, "params.yaml"):
        with pytest.raises(ReproError) as caught:
            read_mapping(path, where)
        assert str(caught.value).startswith(f"{where or path}{message}")
        assert "\n" not in str(caught.value)


def test_a_merged_mapping_may_be_laid_over(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}\n", encoding="utf-8")
    assert read_yaml(path) == {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "here: sides: Field required"),
        ({"sides": [1, "x"]}, "here: sides.1: Input should be a valid integer"),
        ({"sides": [], "side": 1}, "here: side: Extra inputs are not permitted (known: sides)"),
    ],
)
def test_the_first_wrong_field_is_named(content: object, message: str) -> None:
    with pytest.raises(ReproError) as caught:
        checked(Shape, content, "here")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
