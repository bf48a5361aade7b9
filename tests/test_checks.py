"""Numbers that users give: what passes is returned as Python's number, what does not is refused
in one line that says what is expected.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deft import checks
from deft.errors import InvalidInput

NO_NUMBERS = [
    math.nan,
    math.inf,
    -math.inf,
    None,
    "3",
    True,
    np.bool_(True),
    torch.tensor(True),
    [1.0],
    torch.ones(2),
    1 + 0j,
    10**400,
]
ONE = [
    checks.finite,
    checks.positive,
    checks.non_negative,
    checks.share,
    checks.whole,
    lambda what, value: checks.at_least(what, value, 0),
]


@pytest.mark.parametrize("check", ONE)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=str)
def test_what_is_no_finite_number_is_refused(check, value):
    with pytest.raises(InvalidInput) as raised:
        check("setting", value)
    assert raised.value.what == "setting"
    assert raised.value.given is not None
    assert "number" in raised.value.expected
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("check", ONE)
@pytest.mark.parametrize(
    "value", [1, 1.0, np.float32(1), np.int64(1), torch.tensor(1.0), torch.tensor([1])], ids=str
)
def test_every_kind_of_number_passes(check, value):
    found = check("setting", value)
    assert type(found) in (int, float)
    assert found == 1


@pytest.mark.parametrize(
    ("check", "bad", "expected"),
    [
        (checks.positive, 0, "a finite number > 0"),
        (checks.positive, -1e-300, "a finite number > 0"),
        (checks.non_negative, -1, "a finite number >= 0"),
        (checks.share, 1.001, "a number in [0, 1]"),
        (checks.share, -0.1, "a number in [0, 1]"),
        (lambda what, v: checks.share(what, v, zero=False), 0, "a number in (0, 1]"),
        (lambda what, v: checks.share(what, v, one=False), 1, "a number in [0, 1)"),
        (checks.whole, 0, "a whole number >= 1"),
        (checks.whole, 2.5, "a whole number >= 1"),
        (lambda what, v: checks.whole(what, v, 2, 4), 5, "a whole number from 2 to 4"),
        (lambda what, v: checks.at_least(what, v, 1), 0.5, "a finite number >= 1"),
        (checks.finite_range, (1, 1), "(low, high), finite, with low < high"),
        (checks.finite_range, (2, 1), "(low, high), finite, with low < high"),
        (checks.finite_range, (0, math.nan), "(low, high), finite, with low < high"),
        (checks.finite_range, (), "(low, high), finite, with low < high"),
        (checks.finite_range, (0, 1, 2), "(low, high), finite, with low < high"),
        (checks.finite_range, 3, "(low, high), finite, with low < high"),
        (checks.positive_range, (0, 1), "(low, high), finite, with 0 < low <= high"),
        (checks.positive_range, (1, math.inf), "(low, high), finite, with 0 < low <= high"),
    ],
)
def test_what_is_out_of_range_is_refused(check, bad, expected):
    with pytest.raises(InvalidInput) as raised:
        check("setting", bad)
    assert raised.value.given == bad or raised.value.given is bad
    assert raised.value.expected == expected


@given(st.integers(1, 2**70))
def test_whole_numbers_stay_exact(n):
    assert checks.whole("setting", n) == n


def test_ranges_are_returned_as_numbers():
    assert checks.finite_range("setting", [-1, np.float32(1)]) == (-1.0, 1.0)
    assert checks.positive_range("setting", (2, 2)) == (2.0, 2.0)


def test_the_meaning_and_the_advice_are_said():
    with pytest.raises(
        InvalidInput,
        match=r"^field: got nan; expected a finite number > 0, the length of an image. Measure "
        r"it.$",
    ):
        checks.positive("field", math.nan, "the length of an image", "measure it")


def test_names():
    assert checks.name("border", "circular", ["circular", "reflect"]) == "circular"
    with pytest.raises(InvalidInput) as raised:
        checks.name("border", "reflct", {"circular": 1, "reflect": 2})
    assert raised.value.expected == "one of circular, reflect"
    assert raised.value.advice == "perhaps reflect is meant"
    with pytest.raises(InvalidInput):
        checks.name("border", None, ["circular"])
