"""Masks that were painted."""

import numpy as np
import pytest

from deft.app import painted
from deft.errors import InvalidInput
from tests.app import shown


def test_what_is_painted_is_missing():
    mask = np.ones((3, 5), np.float32)
    mask[1, 2:4] = 0
    sent = shown.painted(mask)
    assert sent["painted"] == "000000011000000"
    np.testing.assert_array_equal(painted.mask(sent, 3, 5), mask)


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        (None, "nothing painted"),
        ("", "nothing painted"),
        ({}, "nothing painted"),
        ({"height": 2, "width": 2, "painted": "0000"}, "nothing painted"),
        ({"height": 2, "width": 2, "painted": "1111"}, "all of the picture painted over"),
        ({"height": 1, "width": 4, "painted": "0100"}, "1 x 4 pixels"),
        ({"height": 2, "width": 2, "painted": "010"}, "dict"),
        ({"height": 2, "width": 2, "painted": "01a0"}, "dict"),
        ({"height": 0, "width": 0, "painted": ""}, "dict"),
        ({"height": -2, "width": -2, "painted": "0100"}, "dict"),
        ({"height": True, "width": 4, "painted": "0100"}, "dict"),
        ({"height": 2.0, "width": 2, "painted": "0100"}, "dict"),
        ({"height": 2, "width": 2, "painted": [0, 1, 0, 0]}, "dict"),
        ({"height": 1 << 11, "width": 1 << 11, "painted": "1" * (1 << 22)}, "dict"),
        (["0100"], "list"),
        ("0100", "str"),
    ],
)
def test_what_is_no_mask(sent, given):
    with pytest.raises(InvalidInput) as raised:
        painted.mask(sent, 2, 2)
    assert raised.value.what == "mask"
    assert raised.value.given == given
