"""deepinv's measurements: a physics with its noise model, as a likelihood, as an observation, and
as a problem to train for.

    deepinv's noise      y                                             here
    ZeroNoise            A(x)
            GaussianLikelihood, sigma_y = 0
    GaussianNoise        A(x) + sigma eps                              GaussianLikelihood
    PoissonNoise         gain c, c ~ Poisson(A(x) / gain)              EmissionLikelihood
    LogPoissonNoise      -log(c / N0) / mu, c ~ Poisson(N0 e^(-mu A x))
            PoissonLikelihood, of the counts c

`normalize=False` of PoissonNoise leaves c itself, which is multiplied by its gain here.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from deft.errors import InvalidInput
from deft.likelihoods import (
    EmissionLikelihood,
    GaussianLikelihood,
    Likelihood,
    Observation,
    PoissonLikelihood,
)
from deft.noise import Noise
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.deepinv import from_deepinv
from deft.operators.transmission import Transmission
from deft.problems.base import Problem
from deft.storage.cards import card_of, function
from deft.types import Measurement, Signal, expand

_NOISES = ("ZeroNoise", "GaussianNoise", "PoissonNoise", "LogPoissonNoise")


def observation_from_deepinv(
    y: Measurement,
    physics: Any,
    event_shape: Sequence[int],
    value_range: tuple[float, float] | None = (-1.0, 1.0),
    *,
    parameters: Mapping[str, Tensor] | None = None,
    adjoint: str = "own",
) -> Observation:
    """What `physics` measured, with the law of its noise; arguments as in `from_deepinv`.

    Without `parameters`, where A measures one signal as many, those are taken that hold one entry
    for each y (a mask of each image). Raises `InvalidInput` for a noise model that has no
    likelihood here, and for what `from_deepinv` refuses.
    """
    if parameters is None:
        parameters = _of_each(physics, event_shape, len(y))
    likelihood = likelihood_of(
        physics, _operator(physics, event_shape, value_range, parameters, adjoint)
    )
    expected = (
        likelihood.operator(torch.zeros(1, *event_shape).to(y).expand(len(y), *event_shape))
        if len(y)
        else y
    )
    if isinstance(y, Tensor) and y.is_floating_point() and not bool(y.isfinite().all()):
        bad = int((~y.isfinite()).sum())
        raise InvalidInput(
            "y",
            given=f"{bad} of {y.numel()} entries that are NaN or infinite",
            expected="finite measurements",
        )
    if expected.shape != y.shape:
        raise InvalidInput(
            f"{type(physics).__name__} measures signals of shape {tuple(event_shape)} as "
            f"{tuple(expected.shape[1:])}; y is {tuple(y.shape[1:])}."
        )
    likelihood = likelihood.to(y.device)
    return Observation(likelihood.operator.observed(_counted(y, physics)), likelihood)


def likelihood_of(physics: Any, operator: ForwardOperator) -> Likelihood:
    """The law of a physics' noise around its operator. Raises `InvalidInput` for a noise model that
    has none here.
    """
    kind, noise = _noise(physics), getattr(physics, "noise_model", None)
    if kind == "LogPoissonNoise":
        assert isinstance(operator, Transmission)
        return PoissonLikelihood(operator)
    if kind == "PoissonNoise":
        return EmissionLikelihood(operator, noise.gain)  # type: ignore[union-attr]
    return GaussianLikelihood(operator, noise.sigma if kind == "GaussianNoise" else 0.0)  # type: ignore[union-attr]


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
        sigma = noise.sigma if _noise(self._physics) == "GaussianNoise" else torch.zeros(1)  # type: ignore[union-attr]
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
            return _operator(
                self._physics, shape, self.value_range, self._draw(x_0, noise), self.adjoint
            )
        if shape not in self._operators:
            self._operators[shape] = _operator(
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
        if _noise(self._physics) not in ("ZeroNoise", "GaussianNoise"):
            raise InvalidInput(f"{_noise(self._physics)} has no sigma_y; leave it out.")
        return super().likelihood(operator, y, sigma_y)

    def card(self) -> dict[str, object]:
        return card_of(
            self, {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        )


def _noise(physics: Any) -> str:
    """Which of the noise models here that of a physics is."""
    noise = getattr(physics, "noise_model", None)
    if noise is None:
        return "ZeroNoise"
    names = [cls.__name__ for cls in type(noise).__mro__]
    found = next((name for name in names if name in _NOISES), None)
    if found is None:
        raise InvalidInput(
            f"{names[0]} has no likelihood here; known are {', '.join(_NOISES)}. Write a "
            "Likelihood of your own around from_deepinv(physics)."
        )
    return found


def _operator(
    physics: Any,
    event_shape: Sequence[int],
    value_range: tuple[float, float] | None,
    parameters: Mapping[str, Tensor] | None,
    adjoint: str,
) -> ForwardOperator:
    """The physics' operator, the counts behind it included where its noise is that of a
    logarithm.
    """
    if _noise(physics) != "LogPoissonNoise":
        return from_deepinv(
            physics, event_shape, value_range, parameters=parameters, adjoint=adjoint
        )
    noise = physics.noise_model
    operator = from_deepinv(
        physics,
        event_shape,
        value_range,
        parameters=parameters,
        adjoint=adjoint,
        unit=float(noise.mu),
    )
    if not isinstance(operator, LinearOperator):
        raise InvalidInput(
            f"LogPoissonNoise is the law of photons behind a linear A; {type(physics).__name__} "
            "is not linear."
        )
    return Transmission(operator, noise.N0, floor=0.1)


def _of_each(physics: Any, event_shape: Sequence[int], signals: int) -> dict[str, Tensor]:
    """The buffers of a physics that hold one entry for each signal, if it cannot measure one signal
    alone.
    """
    buffers = physics.named_buffers(recurse=False) if isinstance(physics, nn.Module) else ()
    own = {name: value for name, value in buffers if value.ndim > 1 and len(value) == signals > 1}
    if not own:
        return {}
    like = next(iter(own.values()))
    try:
        with torch.no_grad():
            alone = physics.A(torch.zeros(1, *event_shape, device=like.device))
    except RuntimeError:  # shapes that do not fit
        return own
    return {} if len(alone) == 1 else own


def _counted(y: Measurement, physics: Any) -> Measurement:
    """y as the likelihood here takes it."""
    kind, noise = _noise(physics), getattr(physics, "noise_model", None)
    if kind == "LogPoissonNoise":
        return expand(noise.N0.reshape(-1), y).to(y) * (-float(noise.mu) * y).exp()  # type: ignore[union-attr]
    if kind == "PoissonNoise" and not bool(getattr(noise, "normalize", True)):
        return expand(noise.gain.reshape(-1), y).to(y) * y  # type: ignore[union-attr]
    return y
