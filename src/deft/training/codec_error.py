"""What an autoencoder leaves out of a measurement, on images.

    y = A(x) + sigma_y eps,    A(x) - A(D(E(x))) = error eps'
    error^2 = mean over images, operators and entries of y of (A(x) - A(D(E(x))))^2

A likelihood behind the codec (`Likelihood.behind`) takes (sigma_y^2 + error^2)^(1/2) for the
standard deviation of y given z. That is exact where A(x) - A(D(E(x))) is white and independent of
z; elsewhere it is the white noise of the same power.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from deft import checks
from deft.errors import InvalidInput
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.problems import Problem
from deft.storage.compound_fields import Object
from deft.storage.fields import Real
from deft.types import Signal

CODEC = Object({"error": Real(0.0)}, ("error",))
"""The field `codec` of a card."""


def enough(prior: Prior) -> int:
    """How many images it is measured on: a million entries, but 8 at least and 64 at most."""
    return min(max((1 << 20) // math.prod(prior.signal_shape), 8), 64)


@torch.no_grad()
def codec_error(
    prior: Prior, problem: Problem, images: Signal, *, most: int | None = None, seed: int = 0
) -> float:
    """Measure it on the first `most` images, (n, *signal), with an operator of `problem` for each,
    in the units of y, and let the prior's codec know: `prior.codec.error`. `most` is `enough` by
    default.

    The number is that of one problem: measure again for another. 0 for a prior without a codec,
    and for measurements whose noise is not Gaussian. `deft.train` measures it on the images that
    it is given. Raises `InvalidInput` for codes in place of images.
    """
    codec = prior.codec
    if codec is None:
        return 0.0
    if most is not None:
        checks.whole("most", most, meaning="images to measure on")
    x = images[: most or enough(prior)]
    if tuple(x.shape[1:]) != tuple(prior.signal_shape) or not len(x):
        raise InvalidInput(
            "images",
            given=f"{len(x)} signals of shape {tuple(x.shape[1:])}",
            expected=f"images of {tuple(prior.signal_shape)}: codes do not say what was left out",
        )
    squares = entries = 0.0
    few = codec.at_once or len(x)
    for start in range(0, len(x), few):
        part = x[start : start + few].to(prior.device, prior.dtype)
        seeds = [mix(seed, 43, i) for i in range(start, start + len(part))]
        likelihood = problem.draw(part, Noise(seeds, prior.device, prior.dtype)).likelihood
        if likelihood.counts or not likelihood.measures:
            codec.error = 0.0
            return codec.error
        operator = likelihood.operator
        left = operator.residual(codec.decode(codec.encode(part)), operator(part))
        squares += float(left.abs().double().square().sum())
        entries += float(operator.count(left).sum())
    codec.error = (squares / max(entries, 1.0)) ** 0.5
    return codec.error


def apart(prior: Prior) -> Prior:
    """The same prior for one h-transform more: its codec, where it has one, knows of no error yet,
    and what it is told is not told to that of another.
    """
    own = prior.with_own_codec()
    if own.codec is not None:
        own.codec.error = 0.0
    return own


def told(prior: Prior, card: Mapping[str, Any]) -> None:
    """Let the codec of a prior know what the card of an h-transform says of its error: of the
    problem that h was trained for; 0 where the card says nothing. Warns where it knew of another.
    """
    if prior.codec is None:
        return
    said = card.get("codec")
    before, now = prior.codec.error, float(said["error"]) if isinstance(said, Mapping) else 0.0
    if before and abs(before - now) > 0.01 * now:
        warnings.warn(
            f"the error of the autoencoder of {prior.name} was {before:.3g}, and is now {now:.3g}, "
            "that of the problem of this h-transform: load a prior for each problem",
            stacklevel=3,
        )
    prior.codec.error = now


def on_card(prior: Prior) -> dict[str, object]:
    """The field `codec`, for a prior with one whose error was measured."""
    known = prior.codec is not None and prior.codec.error
    return {"codec": {"error": known}} if known else {}
