"""To what an h-transform applies: operators, noise, signals and precision."""

from __future__ import annotations

from collections.abc import Sequence

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.derivative import instead
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.base import LinearOperator
from deft.priors.base import Prior


def linear_operator(
    observation: Observation,
    h_transform: HTransform,
    prior: Prior | None = None,
    advice: str | None = None,
) -> LinearOperator:
    """The operator of an observation, for an h-transform that only knows what to do with linear
    ones.

    Raises `InvalidInput` for another, with `advice`, or with methods that take it and the `prior`.
    """
    operator, name = observation.operator, type(h_transform).__name__
    if not isinstance(operator, LinearOperator):
        raise InvalidInput(
            f"{name} needs a linear operator",
            given=type(operator).__name__,
            expected="a LinearOperator, with its adjoint and pseudo-inverse",
            advice=advice
            or (
                instead(prior, observation, name) if prior is not None else "use LearnedHTransform"
            ),
        )
    return operator


def linear_gaussian(
    observation: Observation,
    h_transform: HTransform,
    prior: Prior | None = None,
    advice: str | None = None,
) -> LinearOperator:
    """Its linear operator, for an h-transform that reads sigma_y as the noise of every measurement.
    Raises `InvalidInput` for noise that is not Gaussian.
    """
    operator, name = (
        linear_operator(observation, h_transform, prior, advice),
        type(h_transform).__name__,
    )
    if not isinstance(observation.likelihood, GaussianLikelihood):
        raise InvalidInput(
            f"{name} assumes Gaussian noise of one standard deviation",
            given=type(observation.likelihood).__name__,
            expected="GaussianLikelihood",
            advice=advice
            or (
                instead(prior, observation, name) if prior is not None else "use LearnedHTransform"
            ),
        )
    return operator


def made_for(h_transform: HTransform, event_shape: Sequence[int], prior: Prior) -> None:
    """Raise `InvalidInput` where an h-transform was made for signals of another shape or precision
    than the prior's.
    """
    if tuple(event_shape) != tuple(prior.event_shape):
        name = type(h_transform).__name__
        raise InvalidInput(
            f"{name} was made for signals of another shape than those of {prior.name}",
            given=tuple(event_shape),
            expected=str(tuple(prior.event_shape)),
            advice=f"make a {name} for this prior",
        )
    if h_transform.event_axes is not None and h_transform.event_axes != prior.event_axes:
        name = type(h_transform).__name__
        raise InvalidInput(
            f"{name} reads signals of another kind than those of {prior.name}",
            given=f"a prior of a {prior.event_axes}",
            expected=f"one of a {h_transform.event_axes}",
            advice="an h-transform of your own may read them (docs/methods.md)",
        )
    precision = next((p.dtype for p in h_transform.parameters()), prior.dtype)
    if precision != prior.dtype:
        raise InvalidInput(
            f"{type(h_transform).__name__} computes in another precision than {prior.name}",
            given=str(precision),
            expected=str(prior.dtype),
            advice="use h_transform.to(prior.dtype)",
        )
