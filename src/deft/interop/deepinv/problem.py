"""A deepinv physics with its noise, as a problem to train for."""

from __future__ import annotations

import inspect
import sys
from typing import final

import torch

from deft.errors import InvalidInput
from deft.interop.deepinv.observation import likelihood_of, noise_of, operator_of
from deft.likelihoods import GaussianLikelihood, Likelihood, Observation
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.problems.base import Problem
from deft.storage.cards import card_of, function
from deft.types import Measurement, Signal


@final
class Deepinv(Problem):
    """Whatever a deepinv physics measures, with its own noise.

    `physics` is the dotted path of a function of the user's own, without arguments, that makes it;
    `parameters` that of a function (x_0, noise) that draws those which differ per signal, a
    dictionary by name. `value_range` and `adjoint` are as in `from_deepinv`. Only functions written
    in Python are called.
    """

    def __init__(
        self,
        physics: str,
        parameters: str | None = None,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        adjoint: str = "own",
    ) -> None:
        self.physics, self.parameters, self.value_range, self.adjoint = (
            physics,
            parameters,
            value_range,
            adjoint,
        )
        if str(physics).partition(".")[0] in sys.stdlib_module_names:
            raise InvalidInput(
                "physics",
                given=physics,
                expected="a function of yours that makes a physics; "
                "this one is of Python's own library",
                advice="nothing was called",
            )
        self._physics = function(physics)()
        self._draw = None if parameters is None else function(parameters)
        noise = getattr(self._physics, "noise_model", None)
        sigma = noise.sigma if noise_of(self._physics) == "GaussianNoise" else torch.zeros(1)  # type: ignore[union-attr]
        if sigma.numel() != 1:
            raise InvalidInput(
                "the physics of a problem has one noise level for all signals; got "
                f"{sigma.numel()}."
            )
        super().__init__(float(sigma))
        self._operators: dict[tuple[int, ...], ForwardOperator] = {}

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        shape = tuple(x_0.shape[1:])
        if self._draw is not None:
            return operator_of(
                self._physics, shape, self.value_range, self._draw(x_0, noise), self.adjoint
            )
        if shape not in self._operators:
            self._operators[shape] = operator_of(
                self._physics, shape, self.value_range, None, self.adjoint
            )
        return self._operators[shape].repeat(
            1
        )  # a copy: moving an observation to another device leaves this one where it is

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        likelihood = likelihood_of(self._physics, self.operator(x_0, noise.stream(1))).to(
            x_0.device
        )
        if isinstance(likelihood, GaussianLikelihood):
            likelihood = GaussianLikelihood(
                likelihood.operator, likelihood.sigma_y.to(x_0).expand(len(x_0))
            )
        return Observation(likelihood.sample(x_0, noise.stream(3)), likelihood)

    def likelihood(
        self, operator: ForwardOperator, y: Measurement, sigma_y: float | None = None
    ) -> Likelihood:
        """The physics' own law; a sigma_y from elsewhere takes the place of its Gaussian one.
        Raises InvalidInput where it counts.
        """
        if sigma_y is None:
            return likelihood_of(self._physics, operator)
        if noise_of(self._physics) not in ("ZeroNoise", "GaussianNoise"):
            raise InvalidInput(f"{noise_of(self._physics)} has no sigma_y; leave it out.")
        return super().likelihood(operator, y, sigma_y)

    def card(self) -> dict[str, object]:
        return card_of(
            self, {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        )
