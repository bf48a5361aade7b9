"""What a request may ask for."""

import pytest

from deft.app.limits import Limits
from deft.errors import BadImage, InvalidInput


def test_numbers():
    assert Limits().numbers(3, 20.0, 5) == (3, 20, 5)


@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ((0, 20, 0), "samples"),
        ((65, 20, 0), "samples"),
        ((None, 20, 0), "samples"),
        ((1, 0, 0), "steps"),
        ((1, 251, 0), "steps"),
        ((1, 2.5, 0), "steps"),
        ((1, 20, -1), "seed"),
        ((1, 20, "x"), "seed"),
        ((1, 20, float("nan")), "seed"),
    ],
)
def test_other_numbers(numbers, what):
    with pytest.raises(InvalidInput) as raised:
        Limits().numbers(*numbers)
    assert raised.value.what == what


def test_files(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"0" * 2100)
    Limits(megabytes=0.0021).file(path)
    with pytest.raises(BadImage, match=r"a.png: got 0.0021 MB; expected at most 0.002 MB"):
        Limits(megabytes=0.002).file(path)


@pytest.mark.parametrize("limits", [{"megabytes": 0}, {"megabytes": float("nan")}, {"samples": 0}])
def test_limits_that_are_none(limits):
    with pytest.raises(InvalidInput) as raised:
        Limits(**limits)
    assert raised.value.what == next(iter(limits))
