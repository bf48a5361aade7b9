"""Every pair of kinds, in a combination that gives it the best chance, and what must come of it.

A combination works (its samples are finite, explain y as the method promises, and for exact methods
have the moments of the known posterior), or it is refused with `InvalidInput` before the prior is
evaluated, with advice that is not refused in its place.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from deft.errors import InvalidInput, SaysNothing
from deft.htransforms.exact import Exact
from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators.base import LinearOperator
from deft.priors.base import Prior
from deft.studies.counted import Counted
from tests.matrix.kinds import (
    H_TRANSFORMS,
    OPERATORS,
    PRIORS,
    SAMPLERS,
    SOLVERS,
    STRENGTH,
    observation,
    shape_for,
    white,
)

SAMPLES = 8

EXACT = {
    "Exact",
    "PiGDM",
    "MMPS",
    "GaussianPotential",
    "LearnedHTransform",
    "FlatHTransform",
    "Calibrated",
}  # for the white Gaussian
MEETS = {"DDNM", "MCG"}  # y itself, noise included
BLIND = {
    "NoConditioning",
    "ConditionalScore",
    "PaperHTransform",
    "Classifier",
    "ClassifierFree",
}  # untrained networks, and functions of x_t alone
WHITE = {"Gaussian", "callable", "no gradients", "rescheduled", "bfloat16", "float16", "vectors"}


@dataclass(frozen=True)
class Case:
    """A combination, by the names of its parts."""

    prior: str
    h: str
    sampler: str
    operator: str

    def __str__(self) -> str:
        return " · ".join((self.prior, self.h, self.sampler, self.operator))


@dataclass(frozen=True)
class Result:
    """`works`, `silent` (it warns that it says nothing), `refused`, or `none` where the operator
    has no signals of that shape.
    """

    outcome: str
    error: InvalidInput | None = None
    misfit: float | None = None


def learned(prior: str) -> str:
    """The h-transform that takes all operators of signals of that shape."""
    return "FlatHTransform" if prior == "vectors" else "LearnedHTransform"


def partner(prior: str, sampler: str) -> str:
    """An h-transform that a sampler takes."""
    return learned(prior) if sampler in SOLVERS else "NoConditioning"


def cases() -> list[Case]:
    """All pairs of two kinds, each completed by parts that take the rest; the solver turns from
    case to case.
    """
    found: dict[Case, None] = {}
    turn = 0

    def add(prior: str, h: str, sampler: str | None, operator: str) -> None:
        nonlocal turn
        turn += 1
        found[Case(prior, h, sampler or SOLVERS[turn % 4], operator)] = None

    for prior, h in product(PRIORS, H_TRANSFORMS):
        add(prior, h, None, "matrix")
    for prior, sampler in product(PRIORS, SAMPLERS):
        add(prior, partner(prior, sampler), sampler, "identity")
    for prior, operator in product(PRIORS, OPERATORS):
        add(prior, learned(prior) if operator != "labels" else "Classifier", None, operator)
    for h, sampler in product(H_TRANSFORMS, SAMPLERS):
        add("vectors" if h == "FlatHTransform" else "Gaussian", h, sampler, "matrix")
    for h, operator in product(H_TRANSFORMS, OPERATORS):
        add("vectors" if h == "FlatHTransform" else "Gaussian", h, None, operator)
    for sampler, operator in product(SAMPLERS, OPERATORS):
        add(
            "Gaussian",
            partner("Gaussian", sampler) if operator != "labels" else "Classifier",
            sampler,
            operator,
        )
    return list(found)


def run(case: Case) -> Result:
    """Draw samples, or find the refusal; a refusal after the prior was evaluated, and any other
    error, is an `AssertionError`.
    """
    prior = PRIORS[case.prior](shape_for(case.operator))
    given = observation(case.operator, prior)
    if given is None:
        return Result("none")
    observed = given[0]
    prior = Counted(prior)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            h = H_TRANSFORMS[case.h](prior, STRENGTH.get(case.operator, 1.0))
            x_0 = (
                SAMPLERS[case.sampler](prior)
                .draw(prior, SAMPLES, observation=observed, h_transform=h, seed=3)
                .x_0
            )
    except InvalidInput as error:
        if prior.evaluations:
            raise AssertionError(
                f"{case} was refused after {prior.evaluations} evaluations: {error}"
            ) from error
        return Result("refused", error)
    assert x_0.dtype == prior.dtype, f"{case} drew {x_0.dtype}"
    assert bool(x_0.isfinite().all()), f"{case} drew samples that are not finite"
    if any(issubclass(warning.category, SaysNothing) for warning in caught):
        return Result("silent")
    misfit = _judge(case, x_0, observed, prior) if case.operator != "labels" else None
    return Result("works", misfit=misfit)


def _misfit(x_0: Tensor, observed: Observation) -> float:
    each = observed.repeat(x_0.shape[1])
    return float(each.likelihood.misfit(x_0.flatten(0, 1), each.y).square().mean().sqrt())


def _judge(case: Case, x_0: Tensor, observed: Observation, prior: Prior) -> float:
    """Raise `AssertionError` where samples do not explain y as the method promises; the misfit."""
    misfit = _misfit(x_0, observed)
    if case.h in BLIND and case.sampler in SOLVERS:
        return misfit
    unseen = _misfit(_of_the_prior(prior, x_0), observed)
    assert misfit < 0.97 * unseen or misfit < 1.2, (
        f"{case}: misfit {misfit:.2f}, of the prior alone {unseen:.2f}"
    )
    if case.prior.startswith("posterior"):
        return misfit
    linear = isinstance(observed.operator, LinearOperator) and isinstance(
        observed.likelihood, GaussianLikelihood
    )
    noisy = bool((observed.sigma_y > 0).all())
    if case.h in MEETS and linear and case.sampler != "TwistedSMC":
        far = _unmet(observed)
        assert misfit < (0.36 + far**2) ** 0.5, (
            f"{case}: misfit {misfit:.2f} of a method that meets y but for {far:.2f}"
        )
    if case.h in EXACT and linear and case.prior in WHITE and case.sampler in SOLVERS:
        if noisy:
            assert 0.6 < misfit < 1.5, f"{case}: misfit {misfit:.2f} of an exact method"
        high = (
            4.0 if case.sampler == "TwistedSMC" else 2.5
        )  # resampled particles are fewer than they seem
        (low, high), z = (0.2, high), _mean_error(x_0, observed)
        assert low < z < high, f"{case}: the mean is {z:.2f} standard errors away"
    return misfit


def _unmet(observed: Observation) -> float:
    """The misfit of A^+ y, which no signal is below: not 0 where y has more entries than x."""
    operator = observed.operator
    assert isinstance(operator, LinearOperator)
    return _misfit(operator.pseudo_inverse(observed.y)[:, None], observed)


def _of_the_prior(prior: Prior, like: Tensor) -> Tensor:
    """Samples of a prior of that kind: of the white Gaussian that all begin with."""
    shape = tuple(prior.event_shape)
    draws = 0.1 + 0.5 * torch.randn(
        like.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    return draws.reshape(*like.shape[:2], *shape).to(like)


def _mean_error(x_0: Tensor, observed: Observation) -> float:
    """The root mean square error of the samples' mean, in its standard errors under the exact
    posterior.
    """
    event_shape = tuple(x_0.shape[2:])
    exact = Observation(
        observed.y.double(), observed.take(range(len(observed))).likelihood.double()
    )
    mean, covariance = Exact(white(event_shape)).posterior(exact).moments()
    spread = covariance.diagonal(dim1=1, dim2=2).clamp(min=1e-4).sqrt() / x_0.shape[1] ** 0.5
    return float(((x_0.double().mean(1) - mean).flatten(1) / spread).square().mean().sqrt())


NAMES = {**{name: name for name in H_TRANSFORMS}, "LGD.published": "LGD"}


def recommended(error: InvalidInput) -> Iterator[tuple[str, str | None]]:
    """The h-transforms and samplers that a refusal recommends, as (h, sampler)."""
    text = f"{error.advice} {error}" if not error.advice else error.advice
    for name in sorted(SAMPLERS):
        if re.search(rf"\b{re.escape(name)}\b", text) and name not in ("DDIM(eta=1)",):
            yield ("NoConditioning" if name not in SOLVERS else ""), name
    for name in H_TRANSFORMS:
        if re.search(rf"\b{re.escape(name)}\b(?!\()", text):
            yield name, None
