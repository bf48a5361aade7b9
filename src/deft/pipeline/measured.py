"""Measurements as a user holds them, as an observation in the range of the prior.

    y' = low' + (y - low) (high' - low') / (high - low),    sigma_y' = sigma_y (high' - low') /
        (high - low)

Whole numbers (pictures, uint8, uint16) run over their type, DICOM slices over a window of
Hounsfield units, and floating-point numbers over `value_range`, or over the range of the prior
where none is given. The noise level has the unit of the measurements, whatever that is.
"""

from __future__ import annotations

import math

import torch

from deft import checks
from deft.data.arrays import INTEGERS, Range, convert_range
from deft.errors import InvalidInput
from deft.likelihoods import Observation, warn_doubts
from deft.operators.base import ForwardOperator
from deft.pipeline import scanned
from deft.pipeline.deviations import deviations, with_deviations
from deft.pipeline.k_space import has_frequencies
from deft.pipeline.operators import drawn, operator_of, size_of
from deft.pipeline.read import Given, items, rows
from deft.priors.base import Prior
from deft.problems import Problem

_SAID = (
    "operator",
    "mask",
    "kernel",
    "angles",
    "sensitivities",
    "fft",
    "sigma_y",
    "value_range",
    "convert",
    "slice",
)
_ROUNDING = 1 / math.sqrt(12)  # the standard deviation of rounding to whole numbers


def observation_of(
    measurements: object, prior: Prior, problem: Problem, given: Given
) -> Observation:
    """The observation of measurements: of one, of a list, or of an array with or without an axis
    that counts them; an `Observation` is taken as it is.

    Raises `InvalidInput` for what does not fit the problem, and `BadImage` for files that cannot be
    read.
    """
    if isinstance(measurements, Observation):
        for name in _SAID:
            if getattr(given, name) is not None:
                raise InvalidInput(
                    name,
                    given=f"{name} beside an Observation",
                    expected="nothing: an Observation says itself how y was measured",
                    advice=f"leave `{name}` out",
                )
        return measurements.to(prior.device)
    usual = given.operator if given.operator is not None else drawn(prior, problem)
    if isinstance(usual, ForwardOperator) and has_frequencies(usual):
        return scanned.observation_of(measurements, usual, prior, problem, given)
    for name in ("sensitivities", "fft"):
        if getattr(given, name) is not None:
            raise InvalidInput(
                name,
                given=f"{name}, for k-space",
                expected=f"nothing: {type(problem).__name__} measures no frequencies",
                advice=f"leave `{name}` out, or load an h-transform for MultiCoilMRI or MRI",
            )
    operator = operator_of(
        prior,
        problem,
        operator=given.operator,
        mask=given.mask,
        kernel=given.kernel,
        angles=given.angles,
        invert_mask=given.invert_mask,
    )
    shape = size_of(operator, prior.signal_shape)
    read = items(measurements, shape, given)
    y = torch.cat([rows(one, shape, prior) for one in read]).to(prior.dtype)
    if operator.signals not in (1, len(y)):
        raise InvalidInput(
            "measurements",
            given=f"{len(y)} of them",
            expected=f"{operator.signals}, as many as there are masks, kernels or scans",
        )
    ranges = {one.range for one in read}
    if len(ranges) > 1:
        raise InvalidInput(
            "measurements",
            given="whole and floating-point numbers in one list",
            expected="one kind of values",
            advice="call the pipeline once for each kind",
        )
    (said,) = ranges
    factor = 1.0
    if said is not None:
        own = _own_range(operator, prior, said)
        y, factor = convert_range(y, said, own), (own[1] - own[0]) / (said[1] - said[0])
    entries = getattr(given.sigma_y, "ndim", 0) > 1
    levels = None
    if entries:
        levels = factor * deviations("sigma_y", given.sigma_y, shape, len(y))  # type: ignore[arg-type]
    one = float(levels[levels.isfinite()].max()) if levels is not None else given.sigma_y
    sigma_y = one if one is None or entries else _level(one, said, factor)  # type: ignore[arg-type]
    place = operator.take(range(operator.signals)).to(prior.device)
    y = y.to(prior.device)
    likelihood = problem.likelihood(place, y, sigma_y)  # type: ignore[arg-type]
    if levels is not None:
        likelihood = with_deviations("sigma_y", likelihood, y, levels)
    observed = Observation(place.observed(y), likelihood)
    outside(observed, prior, doubtful=said is None)
    warn_doubts(observed, prior, operator=False)
    return observed


def keeps_range(operator: ForwardOperator, prior: Prior) -> bool:
    """Whether a signal that is black, or white, everywhere is measured as such: averages and masks
    do, line integrals do not.
    """
    if prior.value_range is None:
        return False
    device = next((b.device for b in operator.buffers()), torch.device("cpu"))
    for end in prior.value_range:
        flat = torch.full((operator.signals, *prior.signal_shape), end, device=device)
        seen = operator(flat)
        if not torch.allclose(seen, operator.observed(torch.full_like(seen, end)), atol=1e-3):
            return False
    return True


def outside(observed: Observation, prior: Prior, doubtful: bool = True) -> None:
    """Raise `InvalidInput` where measurements are visibly not in the range of the prior, or, where
    that is `doubtful`, look like those of [0, 1].
    """
    if prior.value_range is None or not keeps_range(observed.operator, prior):
        return
    y, (low, high) = observed.y, prior.value_range
    least, most = float(y.min()), float(y.max())
    slack = 0.25 * (high - low) + 6 * float(observed.sigma_y.max())
    positive = doubtful and low < 0 <= least and len(y) > 1 and most > 0
    if least < low - slack or most > high + slack or positive:
        theirs = "(0, 1)" if most <= 1 + slack else "(0, 255)"
        raise InvalidInput(
            "measurements",
            given=f"values in [{least:g}, {most:g}]"
            + ("" if doubtful else f", turned to the range of {prior.name}"),
            expected=f"values in [{low:g}, {high:g}], the range of {prior.name}",
            advice=f"say the range that they are in: value_range={theirs} converts them, "
            f"value_range=({low:g}, {high:g}) takes them as they are",
        )


def _level(sigma_y: float, said: Range | None, factor: float) -> float:
    """A noise level in the units of the prior."""
    level = checks.non_negative(
        "sigma_y", sigma_y, "the standard deviation of the noise in the units of the measurements"
    )
    if said in INTEGERS.values() and 0 < level < _ROUNDING:
        raise InvalidInput(
            "sigma_y",
            given=level,
            expected=f"grey levels, the units of these measurements: rounding alone is "
            f"{_ROUNDING:.2g} of them",
            advice=f"for {level:g} in the range of the prior give {level / factor:.3g}; 0 is none",
        )
    return level * factor


def _own_range(operator: ForwardOperator, prior: Prior, said: Range) -> Range:
    """The range that values are converted to. Raises `InvalidInput` where they cannot be."""
    if prior.value_range is None or not keeps_range(operator, prior):
        raise InvalidInput(
            "measurements",
            given=f"values that run over [{said[0]:g}, {said[1]:g}]",
            expected=f"floating-point values in the units of {type(operator).__name__}, whose "
            "measurements are not in the range of the signals",
            advice="leave value_range out, and give numbers in those units",
        )
    return prior.value_range
