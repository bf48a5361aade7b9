"""What a network says, turned into x_0_hat. With eps the noise in x_t = alpha x_0 + sigma eps and f
what the network returns:

    x_0          f = x_0                             x_0_hat = f
    epsilon      f = eps                             x_0_hat = (x_t - sigma f) / alpha
    v            f = alpha eps - sigma x_0
        x_0_hat = (alpha x_t - sigma f) / (alpha^2 + sigma^2)
                Salimans & Ho 2022, arXiv:2202.00512
    velocity     f = eps - x_0                       x_0_hat = (x_t - sigma f) / (alpha + sigma)
            Lipman et al. 2023, arXiv:2210.02747
    score        f = -eps / sigma                    x_0_hat = (x_t + sigma^2 f) / alpha
            Song et al. 2021, arXiv:2011.13456

    EDM, with u = x_t / alpha, v
        = sigma / alpha and s the standard deviation of the data (Karras et al. 2022,
            arXiv:2206.00364, table 1):
    f(u / sqrt(s^2 + v^2)),
    x_0_hat = (s^2 u + s v sqrt(s^2 + v^2) f) / (s^2 + v^2)
    (edm_v: with -f in place of f, which is v where s = 1)

The first five are what diffusers, flow matching and score-based models call by these names;
`sample` is another name of x_0, `v_prediction` of v.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.types import Signal

_Formula = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Prediction(ABC):
    """What a network is given, and what it returns."""

    name: str

    def given(self, x_t: Signal, alpha_t: Tensor, sigma_t: Tensor) -> Signal:
        """What the network is given: x_t as it is, unless it is scaled."""
        return x_t

    @abstractmethod
    def x_0_hat(self, f: Signal, x_t: Signal, alpha_t: Tensor, sigma_t: Tensor) -> Signal:
        """E[x_0 | x_t], from what the network returned; alpha_t and sigma_t broadcast against
        x_t.
        """


@final
class Affine(Prediction):
    """A prediction that is affine in x_0 and eps, by its formula."""

    def __init__(self, name: str, formula: _Formula) -> None:
        self.name, self.formula = name, formula

    def x_0_hat(self, f: Signal, x_t: Signal, alpha_t: Tensor, sigma_t: Tensor) -> Signal:
        return self.formula(f, x_t, alpha_t, sigma_t)


@final
class EDMPreconditioned(Prediction):
    """The raw network of EDM, whose input and output are scaled by the noise level; `sigma_data` is
    the s of its training, 0.5 as published. `negative` where it returns -f, which diffusers calls
    v_prediction.
    """

    def __init__(self, sigma_data: float = 0.5, negative: bool = False) -> None:
        self.sigma_data = checks.positive(
            "sigma_data", sigma_data, "the standard deviation of the data in EDM's preconditioning"
        )
        self.name, self._sign = ("edm_v", -1) if negative else ("edm", 1)

    def given(self, x_t: Signal, alpha_t: Tensor, sigma_t: Tensor) -> Signal:
        return x_t / (self.sigma_data**2 * alpha_t**2 + sigma_t**2).sqrt()

    def x_0_hat(self, f: Signal, x_t: Signal, alpha_t: Tensor, sigma_t: Tensor) -> Signal:
        s, total = self.sigma_data, self.sigma_data**2 * alpha_t**2 + sigma_t**2
        return s**2 * alpha_t / total * x_t + self._sign * s * sigma_t / total.sqrt() * f


PREDICTIONS: dict[str, Prediction] = {
    one.name: one
    for one in (
        Affine("x_0", lambda f, x_t, alpha_t, sigma_t: f),
        Affine("epsilon", lambda f, x_t, alpha_t, sigma_t: (x_t - sigma_t * f) / alpha_t),
        Affine(
            "v",
            lambda f, x_t, alpha_t, sigma_t: (
                (alpha_t * x_t - sigma_t * f) / (alpha_t**2 + sigma_t**2)
            ),
        ),
        Affine(
            "velocity", lambda f, x_t, alpha_t, sigma_t: (x_t - sigma_t * f) / (alpha_t + sigma_t)
        ),
        Affine("score", lambda f, x_t, alpha_t, sigma_t: (x_t + sigma_t**2 * f) / alpha_t),
    )
}
"""Those without settings, by name."""

ALIASES = {"sample": "x_0", "v_prediction": "v"}


def prediction(said: str | Prediction) -> Prediction:
    """A prediction, by its name or as it is. Raises `InvalidInput` for another name, with the
    nearest.
    """
    if isinstance(said, Prediction):
        return said
    known = [*PREDICTIONS, *ALIASES]
    if not isinstance(said, str):
        raise InvalidInput(
            "prediction", given=said, expected=f"a Prediction, or one of {', '.join(known)}"
        )
    name = checks.name("prediction", said, known)
    return PREDICTIONS[ALIASES.get(name, name)]
