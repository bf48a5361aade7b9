"""The checker of shapes and types that `conftest.py` puts around every function of the library."""

from beartype import beartype
from beartype.roar import BeartypeDecorHintPep673Exception


def checked(function):
    """beartype, except for methods that speak of `Self`, which it checks on whole classes only."""
    try:
        return beartype(function)
    except BeartypeDecorHintPep673Exception:
        return function
