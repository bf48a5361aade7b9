"""Whether the h-transform of a file serves a problem."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deft.errors import CheckpointError
from deft.problems import Problem
from deft.storage import cards
from deft.storage.cards import described
from deft.storage.claims import differences
from deft.storage.table import modern


def for_any(architecture: object) -> bool:
    """Whether a learned h-transform, or the one within it, reads what is the same for every linear
    operator.
    """
    args = architecture.get("args") if isinstance(architecture, Mapping) else None
    if not isinstance(args, Mapping):
        return False
    return args.get("operators") == "any" or for_any(args.get("h_transform"))


def check_problem(path: str | Path, card: Mapping[str, object], problem: Problem) -> None:
    """Raise `CheckpointError` where the file was trained for another problem; one for any linear
    operator says itself to what it does not apply.
    """
    if for_any(card.get("architecture")):
        return
    theirs, ours = modern(card.get("problem")), modern(cards.plain(problem.card()))
    if differences({"problem": theirs}, {"problem": ours}):
        theirs_in_words = described(theirs) if theirs is not None else "an unnamed problem"
        raise CheckpointError(
            f"{path} was trained for {theirs_in_words}; it was asked to serve {described(ours)}. "
            "Train one for this problem."
        )
