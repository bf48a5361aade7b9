"""Where the derivative of a measurement leads: what methods that differentiate the operator ask
before the prior is evaluated.

    grad ||y - A(x_0)||^2 / 2 = -J^T (y - A(x_0)),    J = dA / dx_0

An operator without a derivative is refused; one whose derivative is zero (it rounds) leaves a
method with nothing to say, which is a warning.
"""

from __future__ import annotations

import warnings

import torch

from deft.errors import InvalidInput, SaysNothing
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.types import Signal


def misfit_gradient(observation: Observation, x_0: Signal) -> Signal | None:
    """grad ||y - A(x_0)||^2 / 2: -A^T (y - A x_0) for a linear A, by differentiating A for another;
    None where that cannot be done.
    """
    with torch.no_grad():
        residual = observation.residual(x_0)
    pull = observation.operator.transposed_derivative(x_0, residual)
    return None if pull is None else -pull


def typical(prior: Prior, observation: Observation) -> tuple[Observation, Signal]:
    """The first observation, and a random signal of the prior's size at which its operator can be
    asked.
    """
    one = observation.take([0])
    draw = torch.randn(
        (1, *prior.event_shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return one, (prior.scale * draw).to(one.y.device, one.y.dtype)


def has_derivative(prior: Prior, observation: Observation) -> bool:
    """Whether a residual says where to go: the operator is linear, or has a derivative that is not
    zero. It is evaluated once, at a random signal.
    """
    if not observation.likelihood.measures:
        return False
    if isinstance(observation.operator, LinearOperator) or not len(observation):
        return True
    gradient = misfit_gradient(*typical(prior, observation))
    return gradient is not None and bool((gradient != 0).any())


def need_derivative(prior: Prior, observation: Observation, method: str) -> None:
    """Raise `InvalidInput` where the operator is neither linear nor differentiable. It is evaluated
    once, the prior never.
    """
    if isinstance(observation.operator, LinearOperator) or not len(observation):
        return
    if misfit_gradient(*typical(prior, observation)) is None:
        name = type(observation.operator).__name__
        raise InvalidInput(
            f"{method} needs a linear operator, or one that can be differentiated; {name} is "
            "neither",
            given=name,
            expected="an operator that is linear, or that torch can differentiate",
            advice=instead(prior, observation, method),
        )


def warn_if_flat(prior: Prior, observation: Observation, method: str) -> None:
    """Warn `SaysNothing` where the derivative of the operator is zero though y is not explained;
    the operator is evaluated once.
    """
    if isinstance(observation.operator, LinearOperator) or not len(observation):
        return
    one, x_0 = typical(prior, observation)
    gradient = misfit_gradient(one, x_0)
    if (
        gradient is not None
        and not bool((gradient != 0).any())
        and bool((one.residual(x_0) != 0).any())
    ):
        say_nothing(
            method, type(observation.operator).__name__, instead(prior, observation, method)
        )


def say_nothing(method: str, operator: str, advice: str) -> None:
    """The warning that a method's guidance is exactly zero."""
    warnings.warn(
        f"{method} says nothing here: its guidance is exactly zero for every signal, although "
        f"{operator} leaves y unexplained, so that the samples are the "
        "prior's. An operator that rounds or is constant does this, and so does a weight of 0; "
        f"{advice}.",
        SaysNothing,
        stacklevel=4,
    )


def instead(
    prior: Prior, observation: Observation, besides: str = "", gradients: bool = True
) -> str:
    """`use A, B or C`: methods that take this prior and this measurement; without `gradients` none
    that differentiates the prior.
    """
    if not observation.likelihood.measures:
        return "use Classifier or ClassifierFree, which read y alone"
    linear, gaussian = (
        isinstance(observation.operator, LinearOperator),
        isinstance(observation.likelihood, GaussianLikelihood),
    )
    slope, noisy = (
        linear or has_derivative(prior, observation),
        bool((observation.sigma_y > 0).all()),
    )
    gradients = gradients and prior.differentiable
    image = len(prior.event_shape) in (2, 3)
    known = {
        "LearnedHTransform": image,
        "FlatHTransform": linear and gaussian and len(prior.event_shape) == 1,
        "DDNM": linear,
        "PiGDM": linear and gaussian and gradients,
        "DPS": slope and gradients,
        "the sampler DiffPIR": slope and gaussian and (linear or noisy),
        "the sampler DAPS": slope and gaussian,
    }
    names = [
        name
        for name, applies in known.items()
        if applies and name != besides and name != f"the sampler {besides}"
    ]
    if not names:
        return (
            "no other method takes it; give the operator a derivative, or write the signal as "
            "(channels, *space) and train a LearnedHTransform"
        )
    return f"use {', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else f"use {names[0]}"
