"""How a test says that something is refused: by the parts of the error, not by its prose."""

from collections.abc import Callable
from typing import Any

import pytest

from deft.errors import InvalidInput


def refused(
    call: Callable[[], Any], given: object, expected: str, advice: str = ""
) -> InvalidInput:
    """`call` raises InvalidInput with this `given`; `expected` and `advice` are parts of the
    error's. Every part is there, in one line.
    """
    with pytest.raises(InvalidInput) as raised:
        call()
    error = raised.value
    assert error.given == given
    assert expected in error.expected
    assert advice in error.advice
    assert error.what
    assert error.expected
    assert "\n" not in str(error)
    return error
