"""The checker of shapes and types that `conftest.py` puts around every function of the library."""

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

_CONF = BeartypeConf(is_pep484_tower=True)  # an int is a float


def checked(function):
    """beartype, except for methods that speak of `Self`, which it checks on whole classes only."""
    try:
        return beartype(conf=_CONF)(function)
    except BeartypeDecorHintPep673Exception:
        return function
