"""What samplers that condition inside their step ask for: the prior alone, beside an observation.

    Posterior(prior, NoConditioning(), observation)

Each of these methods changes the step and not only the estimate, so that no h-transform describes it. They read y and its operator from the posterior, and evaluate the
prior by itself; none of them differentiates it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms import derivative
from deft.htransforms.base import NoConditioning
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.base import LinearOperator, SpectralOperator
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.types import Signal, expand


def observation_of(prior: Prior, method: str) -> Observation:
    """The observation that a method conditions on; `InvalidInput` for a prior that has none, or conditions already, or for noise that is not Gaussian."""
    if not isinstance(prior, Posterior) or not isinstance(prior.h_transform, NoConditioning):
        raise InvalidInput(
            f"{method} conditions by itself and samples from Posterior(prior, NoConditioning(), observation)",
            given=prior.name,
            expected="a Posterior with NoConditioning()",
            advice="use NoConditioning() as its h-transform, or keep yours and use DDIM, Heun or DPMSolver, which run on any posterior",
        )
    if not isinstance(prior.observation.likelihood, GaussianLikelihood):
        raise InvalidInput(
            f"{method} assumes Gaussian noise of one standard deviation",
            given=type(prior.observation.likelihood).__name__,
            expected="GaussianLikelihood",
            advice=derivative.instead(prior.prior, prior.observation, method),
        )
    return prior.observation


def beneath(prior: Prior) -> Prior:
    """What a posterior conditions; any other prior is its own."""
    return prior.prior if isinstance(prior, Posterior) else prior


def spectral_operator(prior: Prior, method: str, decomposed: SpectralOperator | None = None) -> SpectralOperator:
    """The operator of its observation, which knows its singular values, or the same one `decomposed` beforehand; `InvalidInput` for another."""
    observation = observation_of(prior, method)
    operator = decomposed or observation.operator
    if not isinstance(operator, SpectralOperator):
        name = type(operator).__name__
        matrix = isinstance(operator, LinearOperator)
        raise InvalidInput(
            f"{method} needs the singular values of the operator; {name} has none",
            given=name,
            expected="a SpectralOperator",
            advice=derivative.instead(beneath(prior), observation, method)
            + (", or write it as Matrix.of(operator, event_shape), where m x d numbers fit in memory" if matrix else ""),
        )
    return operator


def agrees(decomposed: SpectralOperator, observation: Observation) -> None:
    """`InvalidInput` where a decomposed operator is not the observation's: on one random signal they differ by more than 1 %."""
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
            f"the decomposed operator gives {tuple(ours.shape[1:])} numbers, and other ones than {type(operator).__name__} of the observation, which gives {tuple(theirs.shape[1:])}; "
            "decompose that one: Matrix.of(observation.operator, prior.event_shape)."
        )


def differentiable(prior: Prior, method: str) -> Observation:
    """Its observation, whose operator is linear or can be differentiated; `InvalidInput` for another, and a warning where the derivative is zero."""
    observation = observation_of(prior, method)
    derivative.need_derivative(beneath(prior), observation, method)
    derivative.warn_if_flat(beneath(prior), observation, method)
    return observation


def reciprocal(singular_values: Tensor) -> Tensor:
    """1 / s, and 0 for singular values below 1e-6 of the signal's largest."""
    regular = singular_values > 1e-6 * expand(singular_values.flatten(1).amax(1), singular_values)
    return torch.where(
        regular, 1 / torch.where(regular, singular_values, torch.ones_like(singular_values)), torch.zeros_like(singular_values)
    )


def misfit_gradient(observation: Observation, x_0: Signal, method: str) -> Signal:
    """grad ||y - A(x_0)||^2 / 2: -A^T (y - A x_0) for a linear A, by differentiating A for another.

    Raises `InvalidInput` for an operator that is neither linear nor differentiable.
    """
    gradient = derivative.misfit_gradient(observation, x_0)
    if gradient is None:
        name = type(observation.operator).__name__
        raise InvalidInput(
            f"{method} needs a linear operator, or one that can be differentiated", given=name, advice="use LearnedHTransform"
        )
    return gradient
