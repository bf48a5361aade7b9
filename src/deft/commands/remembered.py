"""What the file of an h-transform remembers of its prior, so that it need not be typed again: what
was said of the prior's files, and what the prior was told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.priors.details import Details
from deft.storage.tensors import kind_of
from deft.training import checkpoint, places, prior_told

_NAMES = ("subfolder", "schedule", "prediction_type")


@final
@dataclass(frozen=True)
class Said:
    """What is said of a prior beside its name; None where nothing is."""

    subfolder: str | None = None
    schedule: str | None = None
    prediction_type: str | None = None
    details: Details | None = None
    context: Mapping[str, Tensor] | None = None

    def card(self) -> dict[str, Any] | None:
        """As the card of an h-transform holds it; what the prior is told is beside its weights."""
        said: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        details = None if self.details is None else self.details.card()
        found = {k: v for k, v in {**said, "details": details}.items() if v}
        return found or None


def said(typed: Said, h: Path) -> Said:
    """What was typed, and where nothing was, what the file of the h-transform says.

    Raises `InvalidInput` where both say something, and not the same.
    """
    card = checkpoint.read_card(h).get("prior_options")
    card = card if isinstance(card, Mapping) else {}
    found = {name: _either(name, getattr(typed, name), card.get(name), h) for name in _NAMES}
    details = _details(typed.details, card.get("details"), h)
    return Said(**found, details=details, context=_context(typed.context, h))


def remembering(initial: Path | None) -> Path | None:
    """The file of the h-transform that a training starts from; None for the state of a run, which
    remembers nothing of the prior.
    """
    path = None if initial is None else places.located(initial)
    return None if path is None or kind_of(path) != checkpoint.KIND else path


def options_of(typed: Said, h: Path | None) -> dict[str, Any] | None:
    """What the card of an h-transform says that began as the one at `h`, if any."""
    return (typed if h is None else said(replace(typed, context=None), h)).card()


def _either(name: str, typed: Any, there: Any, h: Path) -> Any:
    if typed is not None and there is not None and typed != there:
        raise _differs(name, typed, there, h)
    return there if typed is None else typed


def _details(typed: Details | None, there: Mapping[str, Any] | None, h: Path) -> Details | None:
    if there is None:
        return typed
    if typed is not None:
        ours = typed.card()
        for name, value in there.items():
            if name in ours and ours[name] != value:
                raise _differs(f"details.{name}", ours[name], value, h)
        there = {**there, **ours}
    return prior_told.details_of(h, there)


def _context(typed: Mapping[str, Tensor] | None, h: Path) -> Mapping[str, Tensor] | None:
    there = prior_told.context_in(h, checkpoint.KIND)
    if not there:
        return typed
    for name, value in (typed or {}).items():
        if name in there and not _same(value, there[name]):
            raise InvalidInput(
                "context",
                given=f"another {name}, of shape {tuple(value.shape)}",
                expected=f"the one of shape {tuple(there[name].shape)} that {h} was trained under, "
                "and which it holds",
                advice="leave `context` out",
            )
    return {**there, **(typed or {})}


def _same(ours: Tensor, theirs: Tensor) -> bool:
    shaped = ours.reshape(theirs.shape) if ours.numel() == theirs.numel() else ours
    return shaped.shape == theirs.shape and torch.allclose(shaped.double(), theirs.double())


def _differs(name: str, typed: Any, there: Any, h: Path) -> InvalidInput:
    return InvalidInput(
        name,
        given=typed,
        expected=f"{there}, which {h} was trained with",
        advice=f"leave `{name}` out",
    )


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a context, from a safetensors file. Raises `InvalidInput` for a file that is
    none, or holds none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    expected = "a safetensors file with the tensors that the prior takes, by their names"
    if file.suffix != ".safetensors" or not file.is_file():
        raise InvalidInput("context", given=str(file), expected=f"{expected}, that exists")
    try:
        found: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidInput(
            "context", given=f"{file}, which cannot be read", expected=expected
        ) from error
    if not found:
        raise InvalidInput("context", given=f"{file}, without tensors", expected=expected)
    return found
