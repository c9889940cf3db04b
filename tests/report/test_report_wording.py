"""Numbers, intervals and cells as reports write them, over whatever comes."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from repro.errors import ReproError
from repro.harness.evidence.table import table as evidence
from repro.report.markdown import escape, table
from repro.report.summary import difference, mean
from repro.report.wording import estimate, interval, number, percent


@given(st.floats(-5, 5), st.integers(0, 4), st.booleans())
def test_numbers_read_back_to_their_digits_and_zero_has_no_sign(
    value: float, digits: int, signed: bool
) -> None:
    text = number(value, digits, signed=signed)
    read = float(text.replace("\u2212", "-"))
    assert abs(read - value) <= 0.5 * 10**-digits + 1e-12
    assert (read != 0) or text[0].isdigit()
    assert not signed or read == 0 or text[0] in "+\u2212"


def test_what_is_not_there_is_a_dash() -> None:
    assert number(None) == number(math.nan) == estimate(None) == interval(None) == "\u2014"


def test_levels_are_short() -> None:
    assert (percent(0.95), percent(1 - 0.05 / 25), percent(1 - 0.05 / 26)) == ("95 %", "99.8 %", "99.81 %")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30))
def test_any_text_in_a_cell_leaves_the_table_whole_and_reads_as_it_is(words: str) -> None:
    text = table(["a", "b"], [[escape(words), "1"]])
    cells = re.split(r"(?<!\\)\|", text.splitlines()[2])[1:-1]
    assert len(cells) == 2
    assert not re.search(r"(?<!\\)[*_`<\[]", re.sub(r"\\\\", "", cells[0]))
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cells[0]).split() == words.split()


def test_a_table_with_a_short_row_or_a_bar_is_refused() -> None:
    with pytest.raises(ValueError, match="row of 1 cells in a table of 2"):
        table(["a", "b"], [["1"]])
    with pytest.raises(ValueError, match="breaks the table"):
        table(["a", "b"], [["1 | 2", "3"]])


def test_rows_of_one_unit_do_not_pass_for_several() -> None:
    values = {"u1": [0.2, 0.4], "u2": [0.5, 0.7], "u3": [0.9, 0.9]}
    rows = evidence([{"unit": u, "asr": v} for u, listed in values.items() for v in listed])
    found = mean(rows, "asr")
    units = np.array([0.3, 0.6, 0.9])
    assert found is not None
    assert found.n == 3
    assert found.mean == pytest.approx(0.6)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(units))


def test_differences_are_paired_by_unit_whatever_the_order() -> None:
    one = evidence([{"unit": u, "asr": v} for u, v in (("a", 0.9), ("b", 0.5), ("c", 0.1))])
    two = evidence([{"unit": u, "asr": v} for u, v in (("c", 0.0), ("a", 0.8), ("b", 0.4))])
    found = difference(one, two, "asr")
    assert found is not None
    assert found.mean == pytest.approx(0.1)
    assert found.half_width == pytest.approx(0, abs=1e-12)


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(ReproError, match="no column 'auc'"):
        mean(evidence([{"unit": "a", "asr": 0.5}]), "auc")
