"""Whether an evaluation can be run as asked: what is refused before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from deft.errors import InvalidInput
from deft.priors.base import Prior
from deft.studies.method import Method
from deft.studies.words import some
from deft.types import Signal


def check_request(
    prior: Prior,
    images: Signal,
    methods: Sequence[Method],
    samples: int,
    clip: bool,
    reference: str | None,
    paths: int,
) -> None:
    """Raise `InvalidInput` for what cannot be evaluated, or not as one meant it."""
    if len(images) == 0 or tuple(images.shape[1:]) != tuple(prior.signal_shape):
        raise InvalidInput(
            f"the prior's signals have shape {tuple(prior.signal_shape)}; got images of shape "
            f"{tuple(images.shape)}."
        )
    if prior.num_observations not in (1, len(images)):
        raise InvalidInput(
            f"the prior is given context for {prior.num_observations} signals and there are "
            f"{len(images)} images; give one for all, or one for each."
        )
    if not bool(torch.isfinite(images).all()):
        broken = (~torch.isfinite(images)).flatten(1).any(1).nonzero().flatten().tolist()
        given = f"NaN or infinite values in image {some([str(i + 1) for i in broken])}"
        raise InvalidInput(
            "images",
            given=given,
            expected="finite values",
            advice="mend these images, or leave them out",
        )
    if samples < 1 or not methods:
        raise InvalidInput(
            "an evaluation needs at least one method and one sample per image; got "
            f"{len(methods)} and {samples}."
        )
    if paths < 0 or paths == 1:
        raise InvalidInput(
            "paths",
            given=paths,
            expected="at least 2, the paths of each image that are weighed",
            advice="use 0 for none",
        )
    if clip and prior.value_range is None:
        raise InvalidInput(
            "clip=True needs a prior whose card gives a value_range; this one has none."
        )
    low, high = prior.value_range or (-math.inf, math.inf)
    if float(images.min()) < low - 1e-3 or float(images.max()) > high + 1e-3:
        raise InvalidInput(
            f"the prior's range is [{low:g}, {high:g}]; the images hold values in "
            f"[{float(images.min()):g}, {float(images.max()):g}]."
        )
    folders = [method.folder for method in methods]
    if len(set(folders)) < len(folders):
        raise InvalidInput(
            "methods need different labels, since each has a folder of its own; got "
            f"{', '.join(m.label for m in methods)}."
        )
    if reference is not None and reference not in [method.label for method in methods]:
        raise InvalidInput(
            f"the reference {reference!r} is none of the methods "
            f"{', '.join(m.label for m in methods)}."
        )
