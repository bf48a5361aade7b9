"""What speaks against a measurement as it was given.

    error(y) = E || E[x_0 | alpha L(y) + sigma eps] - L(y) ||^2,    L the lift of y

A prior finds the lift of a measurement that was read as it is meant less strange than that of
another reading of the same numbers.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from deft.likelihoods.observation import Observation
from deft.noise import Noise
from deft.types import Measurement, Signal, Times, expand

_FEW = 4  # signals that a prior is asked about
_MUCH_BETTER = 0.85
_LOG_SNR = -1.0


@runtime_checkable
class Denoises(Protocol):
    """What is asked of a prior here (`deft.priors.base.Prior`)."""

    schedule: Any
    value_range: tuple[float, float] | None

    def encode(self, x: Tensor) -> Tensor:
        """Signals as x_0 of the prior."""
        ...

    def at(self, x_t: Signal, t: Times) -> Any:
        """x_0_hat and the rest, at one noisy point."""
        ...


def warn_doubts(
    observation: Observation, prior: Denoises | None = None, *, operator: bool = True
) -> list[str]:
    """What speaks against y as it was given, each as a warning: a sinogram that fits turned over or
    transposed much better than as it is.

    `ForwardOperator.doubts` asks whether y is a measurement of any signal (not again with
    `operator=False`: `Problem.likelihood` has asked); a `prior` is asked, where y can be read in
    several ways, whether the lift of another is much more like its signals: an error of denoising
    below 0.85 of that of y as it is (for slices of the prior ct-128 upside down 0.4 to 0.8;
    mirrored 0.7 to 0.93).
    """
    if not len(observation):
        return []
    with torch.inference_mode(False), torch.no_grad():
        doubts = list(observation.operator.doubts(observation.y)) if operator else []
        if prior is not None and not doubts:
            doubts += _implausible(observation, prior)
    for doubt in doubts:
        warnings.warn(doubt, stacklevel=2)
    return doubts


def _implausible(observation: Observation, prior: Denoises) -> list[str]:
    some = observation.take(range(min(len(observation), _FEW)))
    readings = some.operator.readings(some.y)
    if not readings:
        return []
    own = _strangeness(some, some.y, prior)
    ratio = {
        name: float((_strangeness(some, y, prior) / own).log().mean().exp())
        for name, y in readings.items()
    }
    name = min(ratio, key=lambda name: ratio[name])
    if not ratio[name] < _MUCH_BETTER:
        return []
    return [
        f"the measurements look much more like signals of the prior with {name}: an error of "
        f"denoising their lift of {ratio[name]:.2f} of that of y as it is. See the "
        "conventions of the operator: which detector cell is where, and which way the angle turns."
    ]


def _strangeness(observation: Observation, y: Measurement, prior: Denoises) -> Tensor:
    """The mean squared error of denoising the lift of y, from much noise, where a prior knows of
    large structures alone.
    """
    lifted = observation.operator.lift(y)
    if prior.value_range is not None:
        lifted = lifted.clamp(*prior.value_range)
    low, high = prior.schedule.log_snr_range
    t = prior.schedule.snap(
        prior.schedule.time(torch.tensor([min(max(_LOG_SNR, low), high)], dtype=torch.float64))
    )
    lifted = prior.encode(lifted)
    alpha, sigma = (
        expand(level.to(lifted), lifted)
        for level in (prior.schedule.alpha(t), prior.schedule.sigma(t))
    )
    noise = Noise([0], lifted.device, lifted.dtype).normal(
        0, lifted.shape[1:]
    )  # the same for all readings
    found = prior.at(alpha * lifted + sigma * noise, t.to(lifted)).x_0_hat
    result: Tensor = (found - lifted).square().flatten(1).mean(1)
    return result
