"""How well samples explain their measurement: what is kept of each image, what is said of all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from torch import Tensor

from deft.commands.done import Done
from deft.commands.verdicts import Verdicts
from deft.likelihoods import Observation
from deft.metrics.image import far_from_right, misfit, psnr, root_mean_square
from deft.priors.base import Prior
from deft.studies.method import Method
from deft.studies.words import number, some

_MEANING = {
    "above": "the samples do not explain what was measured. The measurement may be of another "
    "kind than the problem says (range, mask, orientation, operator), noisier than "
    "sigma_y, "
    "or the method guides too weakly (few steps, an h-transform that has learned little)",
    "below": "the samples follow the noise of the measurement. sigma_y may be larger than the "
    "noise, or the method guides too strongly",
}


def facts(
    samples: Tensor, observed: Observation, truth: Tensor | None, prior: Prior
) -> dict[str, object]:
    """How well samples explain their measurement, and how near their mean is to the truth, where
    that is known.
    """
    found: dict[str, object] = {}
    if observed.likelihood.has_misfit:
        value = float(root_mean_square(misfit(samples, observed.take([0] * len(samples)))))
        found["misfit"] = value if math.isfinite(value) else None
        found["far"] = far_from_right(value, observed)
    if truth is not None and not observed.operator.symmetries:
        low, high = prior.value_range or (float(truth.min()), float(truth.max()))
        if high > low:
            value = float(psnr(samples.mean(0, keepdim=True).cpu(), truth[None], high - low))
            found["psnr"] = value if math.isfinite(value) else None
    return found


def say_fit(
    done: Done,
    names: Sequence[str],
    observed: Observation,
    method: Method,
    verdicts: Verdicts | None = None,
) -> None:
    """The misfit of all images that are done, the verdicts where there are any, and a warning for
    those where the misfit is far from what is right.
    """
    records = [done.known[name] for name in names if name in done.known]
    noiseless = not bool((observed.sigma_y > 0).any())
    what = (
        "residual ||y - A x|| / sqrt(m) of the samples, 0 is right"
        if noiseless
        else "misfit of the samples, 1 is right"
    )
    held = "uncertain pixels whose interval holds the truth"
    for key, title, unit in (
        ("misfit", what, ""),
        ("psnr", "PSNR of the mean", " dB"),
        ("held", held, " %"),
    ):
        values = [record[key] for record in records if isinstance(record.get(key), float)]
        if values:
            extent = (
                f" ({min(values):.3g} to {max(values):.3g} over {number(len(values), 'image')})"
                if len(values) > 1
                else ""
            )
            print(f"{title}: {math.fsum(values) / len(values):.3g}{unit}{extent}")
    if not method.conditions:
        return  # the prior alone does not see the measurement
    if verdicts is not None:
        verdicts.say(records)
    for side, meaning in _MEANING.items():
        far = [record["name"] for record in records if record.get("far") == side]
        if far:
            warnings.warn(
                f"the misfit of {number(len(far), 'image')} is far {side} what is right "
                f"({some(far)}): {meaning}.",
                stacklevel=2,
            )
