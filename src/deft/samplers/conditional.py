"""What samplers that condition inside their step ask of a prior and an observation.

Each of these methods changes the step and not only the estimate, so that no h-transform describes
it. They read y and its operator, evaluate the prior by itself, and never differentiate it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms import derivative
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.base import LinearOperator, SpectralOperator
from deft.priors.base import Prior
from deft.types import Signal, expand


def gaussian(prior: Prior, observation: Observation, method: str) -> None:
    """`InvalidInput` for noise that is not Gaussian."""
    if not isinstance(observation.likelihood, GaussianLikelihood):
        raise InvalidInput(
            f"{method} assumes Gaussian noise of one standard deviation",
            given=type(observation.likelihood).__name__,
            expected="GaussianLikelihood",
            advice=derivative.instead(prior, observation, method),
        )


def spectral_operator(
    prior: Prior, observation: Observation, method: str, decomposed: SpectralOperator | None = None
) -> SpectralOperator:
    """The operator of an observation, which knows its singular values, or the same one `decomposed`
    beforehand; `InvalidInput` for another.
    """
    gaussian(prior, observation, method)
    operator = decomposed or observation.operator
    if not isinstance(operator, SpectralOperator):
        name = type(operator).__name__
        matrix = isinstance(operator, LinearOperator)
        raise InvalidInput(
            f"{method} needs the singular values of the operator; {name} has none",
            given=name,
            expected="a SpectralOperator",
            advice=derivative.instead(prior, observation, method)
            + (
                ", or write it as Matrix.of(operator, event_shape), where m x d numbers fit in "
                "memory"
                if matrix
                else ""
            ),
        )
    return operator


def agrees(decomposed: SpectralOperator, observation: Observation) -> None:
    """`InvalidInput` where a decomposed operator is not the observation's: on one random signal
    they differ by more than 1 %.
    """
    if decomposed is observation.operator or not len(observation):
        return
    one = observation.take([0])
    operator = one.operator
    if not isinstance(operator, LinearOperator):
        return
    with torch.no_grad():
        x_0 = torch.randn(one.lifted.shape, generator=torch.Generator().manual_seed(0)).to(one.y)
        theirs = operator.linear(x_0).flatten(1)
        ours = decomposed(x_0).flatten(1)
    if ours.shape != theirs.shape or float((ours - theirs).norm()) > 0.01 * float(theirs.norm()):
        raise InvalidInput(
            f"the decomposed operator gives {tuple(ours.shape[1:])} numbers, and other ones than "
            f"{type(operator).__name__} of the observation, which gives "
            f"{tuple(theirs.shape[1:])}; "
            "decompose that one: Matrix.of(observation.operator, prior.event_shape)."
        )


def differentiable(prior: Prior, observation: Observation, method: str) -> None:
    """`InvalidInput` for an operator that is neither linear nor can be differentiated, and a
    warning where the derivative is zero.
    """
    gaussian(prior, observation, method)
    derivative.need_derivative(prior, observation, method)
    derivative.warn_if_flat(prior, observation, method)


def reciprocal(singular_values: Tensor) -> Tensor:
    """1 / s, and 0 for singular values below 1e-6 of the signal's largest."""
    regular = singular_values > 1e-6 * expand(singular_values.flatten(1).amax(1), singular_values)
    return torch.where(
        regular,
        1 / torch.where(regular, singular_values, torch.ones_like(singular_values)),
        torch.zeros_like(singular_values),
    )


def misfit_gradient(observation: Observation, x_0: Signal, method: str) -> Signal:
    """grad ||y - A(x_0)||^2 / 2: -A^T (y - A x_0) for a linear A, by differentiating A for another.

    Raises `InvalidInput` for an operator that is neither linear nor differentiable.
    """
    gradient = derivative.misfit_gradient(observation, x_0)
    if gradient is None:
        name = type(observation.operator).__name__
        raise InvalidInput(
            f"{method} needs a linear operator, or one that can be differentiated",
            given=name,
            advice="use LearnedHTransform",
        )
    return gradient
