"""deepinv's measurements: a physics with its noise model, as a likelihood and as an observation.

    deepinv's noise   y                                               here
    ZeroNoise         A(x)                                            GaussianLikelihood, no noise
    GaussianNoise     A(x) + sigma eps                                GaussianLikelihood
    PoissonNoise      gain c, c ~ Poisson(A(x) / gain)                EmissionLikelihood
    LogPoissonNoise   -log(c / N0) / mu, c ~ Poisson(N0 e^(-mu A x))  PoissonLikelihood, of c

`normalize=False` of PoissonNoise leaves c itself, which is multiplied by its gain here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deft.errors import InvalidInput
from deft.interop.deepinv.operators import from_deepinv
from deft.likelihoods import (
    EmissionLikelihood,
    GaussianLikelihood,
    Likelihood,
    Observation,
    PoissonLikelihood,
)
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.transmission import Transmission
from deft.types import Measurement, expand

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
        physics, operator_of(physics, event_shape, value_range, parameters, adjoint)
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
    kind, noise = noise_of(physics), getattr(physics, "noise_model", None)
    if kind == "LogPoissonNoise":
        assert isinstance(operator, Transmission)
        return PoissonLikelihood(operator)
    if kind == "PoissonNoise":
        return EmissionLikelihood(operator, noise.gain)  # type: ignore[union-attr]
    return GaussianLikelihood(operator, noise.sigma if kind == "GaussianNoise" else 0.0)  # type: ignore[union-attr]


def noise_of(physics: Any) -> str:
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


def operator_of(
    physics: Any,
    event_shape: Sequence[int],
    value_range: tuple[float, float] | None,
    parameters: Mapping[str, Tensor] | None,
    adjoint: str,
) -> ForwardOperator:
    """The physics' operator, the counts behind it included where its noise is that of a
    logarithm.
    """
    if noise_of(physics) != "LogPoissonNoise":
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
    kind, noise = noise_of(physics), getattr(physics, "noise_model", None)
    if kind == "LogPoissonNoise":
        return expand(noise.N0.reshape(-1), y).to(y) * (-float(noise.mu) * y).exp()  # type: ignore[union-attr]
    if kind == "PoissonNoise" and not bool(getattr(noise, "normalize", True)):
        return expand(noise.gain.reshape(-1), y).to(y) * y  # type: ignore[union-attr]
    return y
