"""What an h-transform took to learn, counted through the runs that began from each other.

    total = seconds of the run + total of the run that it began from

A card says `seconds` of its own run, `seconds_before` of those that it began from, and
`began_from`, the file. What ships without either began from nothing, as far as is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deft.errors import DeftError
from deft.priors.zoo import FOLDER
from deft.storage.tensors import header, kind_of
from deft.training import checkpoint, places, state

_DEEPEST = 100  # runs


def seconds(card: Mapping[str, object] | None) -> float:
    """What the h-transform of a card took to learn, with the runs that it began from; 0 where the
    card does not say.
    """
    training = (card or {}).get("training")
    if not isinstance(training, Mapping):
        return 0.0
    return _number(training.get("seconds")) + _number(training.get("seconds_before"))


def facts(initial: Path, own: float) -> dict[str, object]:
    """What the card of a run says of the one that it began from; `own` are its own seconds."""
    before = round(seconds_of(initial), 3)
    return {
        "began_from": initial.stem if initial.parent == FOLDER else str(initial),
        "seconds_before": before,
        "seconds_in_all": round(own + before, 3),
    }


def weight_of(path: Path) -> object:
    """The weight on the card of the h-transform that a run began from; a state has none."""
    return None if kind_of(path) == state.KIND else checkpoint.read_card(path).get("weight")


def seconds_of(path: Path, depth: int = 0) -> float:
    """The same of a file: an h-transform, or the state of a run that has not ended, whose beginning
    is in the config.yaml beside it.
    """
    if kind_of(path) != state.KIND:
        return seconds(checkpoint.read_card(path))
    progress = header(path, state.KIND, state.CARD).card.get("progress")
    own = _number(progress.get("seconds")) if isinstance(progress, Mapping) else 0.0
    initial = _initial(path.parent / "config.yaml") if depth < _DEEPEST else None
    if initial is None:
        return own
    try:
        return own + seconds_of(places.located(initial), depth + 1)
    except DeftError:  # it is no longer there
        return own


def _initial(config: Path) -> str | None:
    import yaml

    try:
        options = yaml.safe_load(config.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None
    if not isinstance(options, Mapping):
        return None
    initial = options.get("initial", options.get("h"))  # of deft train, of deft adapt
    return initial if isinstance(initial, str) else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and 0 <= value < float("inf") else 0.0
