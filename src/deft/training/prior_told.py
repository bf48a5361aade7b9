"""How the prior of an h-transform was asked: what its file does not say, and what it was told
beside x_t.

    card["prior_options"]     what a user said of the files of the prior: details, sub-folder,
                              noise schedule, prediction
    prior_context.NAME        tensors beside the weights: the classes, the embeddings of a prompt

Both are used where the h-transform is, so that neither must be said again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from deft.errors import CheckpointError, InvalidInput
from deft.priors.base import Prior
from deft.priors.details import Details
from deft.storage import tensors
from deft.storage.compound_fields import Items, Object, OneOf
from deft.storage.fields import Flag, Nothing, Real, Text, Whole

PREFIX = "prior_context."
_SETTINGS = Object({}, open=True)
DETAILS = Object(
    {
        "config": _SETTINGS,
        "image_size": Whole(1, 16_384),
        "num_heads": Whole(1, 4096),
        "num_head_channels": Whole(1, 4096),
        "attention_order": Text(20),
        "value_range": Items(Real(), 2, 2),
        "diffusion_steps": Whole(2, 100_000),
        "rescale_timesteps": Flag(),
    }
)
OPTIONS = OneOf(
    (
        Object(
            {
                "details": OneOf((DETAILS, Nothing())),
                "subfolder": OneOf((Text(200), Nothing())),
                "schedule": OneOf((Text(50), Nothing())),
                "prediction_type": OneOf((Text(50), Nothing())),
            }
        ),
        Nothing(),
    )
)
"""What `prior_options` may hold."""


def written(weights: Mapping[str, Tensor], prior: Prior) -> dict[str, Tensor]:
    """The weights of an h-transform, and the context of its prior where that is one for all."""
    context = prior.context.values if prior.num_observations == 1 else {}
    told = {f"{PREFIX}{name}": value.contiguous().cpu() for name, value in context.items()}
    return {**weights, **told}


def weights_of(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights among the tensors of a file."""
    return {name: value for name, value in held.items() if not name.startswith(PREFIX)}


def context_in(path: Path, kind: str) -> dict[str, Tensor]:
    """What the prior was told, out of the file of an h-transform."""
    names = [name for name in tensors.header(path, kind).shapes if name.startswith(PREFIX)]
    if not names:
        return {}
    held, _ = tensors.read(path, kind)
    return {name.removeprefix(PREFIX): held[name] for name in names}


def arguments(path: Path, kind: str, card: Mapping[str, object]) -> dict[str, Any]:
    """What `deft.priors.resolve.load` is told of the prior of an h-transform. Raises
    `CheckpointError` for details that no network has.
    """
    said = card.get("prior_options")
    options = dict(said) if isinstance(said, Mapping) else {}
    details = options.pop("details", None)
    return {
        **options,
        "details": None if details is None else details_of(path, details),
        "context": context_in(path, kind) or None,
    }


def details_of(path: Path, card: Mapping[str, Any]) -> Details:
    """The details on a card."""
    try:
        return Details.of_card(card)
    except InvalidInput as error:
        raise CheckpointError(
            f"{path}: prior_options.{error.what}", given=error.given, expected=error.expected
        ) from error


def told(prior: Prior, path: Path, kind: str) -> Prior:
    """The prior with the context out of the file of an h-transform, where it has none of its own.

    Raises `CheckpointError` for a context that the prior does not take.
    """
    found = context_in(path, kind)
    missing = {name: value for name, value in found.items() if name not in prior.context.values}
    unknown = [name for name in missing if name not in prior.takes]
    if unknown:
        raise CheckpointError(
            f"{path}: {PREFIX}{unknown[0]}",
            given=f"what {prior.name} does not take",
            expected=", ".join(prior.takes) or "no context: the prior is unconditional",
        )
    return prior.given(**missing) if missing else prior
