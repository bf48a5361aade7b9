"""Problems from their cards (deft.storage.cards): what a checkpoint records and what results
keep.
"""

from __future__ import annotations

from deft.problems.base import Problem
from deft.storage.cards import Allow, build


def from_card(card: object, *, allow: Allow = ()) -> Problem:
    """The problem that `card` describes, safe for a card out of a file: only classes of this
    library, and of modules that `allow` names, are built.

    `allow` also names folders whose mask files may be read. Raises `InvalidInput` for an unknown
    class or argument, with the nearest known ones, and for a wrong type, range or size.
    """
    result: Problem = build(card, "problem", allow=allow, where="problem")
    return result
