"""What a problem measures of the signals of a prior, which may be latents.

    y = A(x) + sigma_y eps              of the image x that was encoded, where it is known
    y = A(D(x_0)) + sigma_y eps + error eps'        of a code alone

The second is the first as far as the likelihood behind the codec knows it
(deft.training.codec_error).
"""

from __future__ import annotations

from torch import Tensor

from deft.likelihoods import Observation
from deft.noise import Noise
from deft.priors.base import Prior
from deft.problems import Problem
from deft.types import Signal

_LEFT_OUT = 9  # a stream of the noise of an observation


def measured(
    problem: Problem, prior: Prior, x_0: Signal, noise: Noise, seen: Tensor | None = None
) -> Observation:
    """What a problem measures of signals of a prior: where it has a codec, of what they were
    encoded from (`seen`), or else of what they decode to, with the codec's error as noise beside
    that of y.
    """
    if prior.codec is None:
        return problem.draw(x_0, noise)
    observation = problem.draw(prior.decode(x_0) if seen is None else seen, noise)
    error = prior.codec.error
    if seen is None and error and not observation.likelihood.counts:
        y, operator = observation.y, observation.operator
        left_out = error * noise.stream(_LEFT_OUT).to(y.device, y.dtype).normal(0, y.shape[1:])
        observation = Observation(y + operator.observed(left_out), observation.likelihood)
    return observation.behind(prior.codec)
