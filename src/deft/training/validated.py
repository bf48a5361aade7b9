"""What the card of an h-transform says of its use: the sampler that it was validated with, the
units of its data, and what may be done with it.

    misfit = ||y - A x|| / (sigma_y sqrt(m)) of one sample for each of a few held-out images
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from deft.data.ct import units as ct_units
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.metrics.image import misfit, psnr, root_mean_square
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.problems import Problem
from deft.samplers.base import Sampler
from deft.samplers.dpm_solver import DPMSolver
from deft.storage import cards
from deft.storage.compound_fields import Items, Object, OneOf, Part
from deft.storage.fields import Nothing, Real, Text, Whole
from deft.storage.table import public_name
from deft.training.sources import Source

_STEPS, _IMAGES = 20, 4
_MAYBE = OneOf((Real(), Nothing()))
_RANGE = OneOf((Items(Real(), 2, 2), Nothing()))
_WINDOW = OneOf((Items(Real(), 2, 2), Text(100), Nothing()))
Window = tuple[float, float] | str  # in HU: two ends, or the name of one

SAMPLER = Object(
    {"made": Part(("sampler",)), "images": Whole(1), "misfit": _MAYBE, "psnr": _MAYBE}, ("made",)
)
"""The field `sampler` of a card."""

UNITS = Object({"value_range": _RANGE, "window": _WINDOW})
"""The field `units` of a card: the range of signals, and the window in HU that it stands for."""

PUBLISHED = Object(
    {
        "license": OneOf((Text(100), Nothing())),
        "prior_license": OneOf((Text(100), Nothing())),
        "prior_revision": OneOf((Text(200), Nothing())),
    }
)
"""The field `published` of a card: the licences of h and prior, and the revision of the prior."""


@torch.no_grad()
def validated(
    h_transform: HTransform,
    prior: Prior,
    problem: Problem,
    held_out: Tensor | Dataset[Any] | Source | None,
    *,
    seed: int = 0,
    sampler: Sampler | None = None,
) -> dict[str, Any] | None:
    """Draw one sample for each of a few held-out signals, and say how it went: the field `sampler`;
    None without such signals, unless a `sampler` is given, which is then all that is said.

    A measure that is not defined, or not finite, is None.
    """
    count = 0 if held_out is None else min(len(held_out), _IMAGES)  # type: ignore[arg-type]
    if held_out is None or not count:
        return None if sampler is None else {"made": made(sampler)}
    drawn_by = sampler or DPMSolver(_STEPS)
    seeds = [mix(seed, 41, i) for i in range(count)]
    prior, x_0 = _looked_at(held_out, prior, seeds)
    observation = problem.draw(x_0, Noise(seeds, prior.device, prior.dtype))
    posterior = Posterior(prior, h_transform, observation)
    sample = prior.decode(drawn_by(posterior, 1, seed=seeds)[:, 0])
    found: dict[str, float | None] = {"misfit": None, "psnr": None}
    if observation.likelihood.has_misfit:
        found["misfit"] = float(root_mean_square(misfit(sample, observation)))
    if prior.value_range is not None and not observation.operator.symmetries:
        low, high = prior.value_range
        found["psnr"] = float(psnr(sample, x_0, high - low).mean())
    known = {name: v if v is not None and math.isfinite(v) else None for name, v in found.items()}
    return {"made": made(drawn_by), "images": len(x_0), **known}


def _looked_at(
    held_out: Tensor | Dataset[Any] | Source, prior: Prior, seeds: list[int]
) -> tuple[Prior, Tensor]:
    """The first of these signals as they are looked at, and the prior, told of them."""
    if isinstance(held_out, Source):
        batch = held_out.batch(range(len(seeds)), Noise(seeds, prior.device, prior.dtype))
        return batch.told(prior), prior.decode(batch.x_0)
    items = [held_out[i] for i in range(len(seeds))]
    images = torch.stack([item[0] if isinstance(item, (tuple, list)) else item for item in items])
    return prior, images.to(prior.device, prior.dtype)


def made(value: object) -> dict[str, object]:
    """The card of a sampler, or of what one is made of: its class, and the arguments that build it,
    which it keeps under their names.
    """
    names = [name for name in inspect.signature(type(value)).parameters if hasattr(value, name)]
    args = {name: getattr(value, name) for name in names}
    return {
        "class": public_name(type(value)),
        "args": {
            name: made(arg) if hasattr(arg, "__dict__") else arg
            for name, arg in args.items()
            if arg is not None
        },
    }


def sampler_of(card: Mapping[str, Any]) -> Sampler:
    """The sampler that the h-transform of a card was validated with; the usual one where the card
    says none.
    """
    said = card.get("sampler")
    if not isinstance(said, Mapping):
        return DPMSolver(_STEPS)
    found = cards.build(said.get("made"), "sampler", where="sampler")
    if not isinstance(found, Sampler):
        raise InvalidInput(
            "the sampler on the card", given=type(found).__name__, expected="one of posteriors"
        )
    return found


def units(prior: Prior, window: Window | None) -> dict[str, Any]:
    """The field `units` of a card."""
    low_high = None if prior.value_range is None else list(prior.value_range)
    return {"value_range": low_high, "window": _plain(window)}


def same_units(card: Mapping[str, Any], window: Window | None) -> None:
    """Raise `InvalidInput` where data are in another window than those of the training."""
    said = card.get("units")
    theirs = said.get("window") if isinstance(said, Mapping) else None
    if window is not None and theirs is not None and in_hu(window) != in_hu(theirs):
        raise InvalidInput(
            "window",
            given=_plain(window),
            expected=f"{theirs}, the window of the images that the h-transform was trained on",
            advice="use that window, or train an h-transform for yours",
        )


def _plain(window: Window | None) -> list[float] | str | None:
    return window if window is None or isinstance(window, str) else [float(end) for end in window]


def in_hu(window: Window) -> tuple[float, ...]:
    """A window as two ends in HU."""
    ends = ct_units.window(window)
    return tuple(map(float, ends))
