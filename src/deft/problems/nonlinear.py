"""Problems that are not linear: saturation, a camera's response, JPEG, magnitudes alone."""

from __future__ import annotations

import math
from typing import final

import torch

from deft import checks
from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Likelihood, Observation
from deft.noise import Noise
from deft.operators import high_dynamic_range, jpeg, nonlinear_blur, phase_retrieval
from deft.operators.base import ForwardOperator
from deft.operators.phase_retrieval import check_noise
from deft.problems.base import NoiseLevel, Problem, log_uniform, noise_level
from deft.problems.kernels import Kernels
from deft.problems.linear import named_kernels
from deft.storage.cards import card_of
from deft.types import Measurement, Signal, expand


@final
class HighDynamicRange(Problem):
    """y = clip(factor x_0, low, high) + sigma_y eps: exposed for too long. `clip` is (low,
    high).
    """

    def __init__(
        self,
        factor: float = 2.0,
        clip: tuple[float, float] = (-1.0, 1.0),
        sigma_y: NoiseLevel = 0.0,
    ) -> None:
        super().__init__(sigma_y)
        self._operator = high_dynamic_range.HighDynamicRange(factor, clip)

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return self._operator.repeat(
            1
        )  # a copy: moving an observation to another device leaves this one where it is

    def card(self) -> dict[str, object]:
        return card_of(
            self,
            {"factor": self._operator.factor, "clip": self._operator.clip, "sigma_y": self.sigma_y},
        )


@final
class JPEG(Problem):
    """y = decode(encode(x_0)) + sigma_y eps: pictures stored as JPEG with a quality from 1 to 100.

    `chroma` is how colours are sampled, "4:2:0" (as most files have it), "4:2:2" or "4:4:4";
    `value_range` is (black, white) of the signal. A decoded file has no noise but its rounding to
    grey levels: sigma_y = 0.
    """

    def __init__(
        self,
        quality: int = 10,
        chroma: jpeg.Chroma = "4:2:0",
        value_range: tuple[float, float] = (-1.0, 1.0),
        sigma_y: NoiseLevel = 0.0,
    ) -> None:
        super().__init__(sigma_y)
        self._operator = jpeg.JPEG(quality, chroma, value_range)

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return self._operator.repeat(1)

    def card(self) -> dict[str, object]:
        a = self._operator
        args = {"quality": a.quality, "chroma": a.chroma, "value_range": a.value_range}
        return card_of(self, {**args, "sigma_y": self.sigma_y})


@final
class NonlinearBlur(Problem):
    """y = R(min(exposure k * R^{-1}(x_0), 1)) + sigma_y eps: a shaking camera blurs the light, its
    response R and white level come after.

    `kernel` as in `Deblurring`; `value_range` is (black, white) of the signal.
    """

    def __init__(
        self,
        kernel: str | Kernels = "motion",
        exposure: float = 1.2,
        border: str = "reflect",
        value_range: tuple[float, float] = (-1.0, 1.0),
        sigma_y: NoiseLevel = 0.0,
    ) -> None:
        super().__init__(sigma_y)
        nonlinear_blur.NonlinearBlur(
            torch.ones(1, 1, 1), exposure, border, value_range
        )  # says what is wrong with them
        self.kernels = named_kernels(kernel) if isinstance(kernel, str) else kernel
        if not isinstance(self.kernels, Kernels):
            raise InvalidInput(
                "kernel", given=kernel, expected="a name, or a distribution: deft.problems.Kernels"
            )
        self.exposure, self.border, self.value_range = (
            float(exposure),
            border,
            (float(value_range[0]), float(value_range[1])),
        )

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return nonlinear_blur.NonlinearBlur(
            self.kernels.draw(x_0, noise), self.exposure, self.border, self.value_range
        )

    def card(self) -> dict[str, object]:
        settings = {
            "exposure": self.exposure,
            "border": self.border,
            "value_range": self.value_range,
            "sigma_y": self.sigma_y,
        }
        return card_of(self, {"kernel": self.kernels.card(), **settings})


@final
class PhaseRetrieval(Problem):
    """y = |F P x_0| + sigma_y eps: Fourier magnitudes of zero-padded images, sigma_y being
    `relative_noise` times the root mean square of each y.

    `relative_noise` is one number, or (low, high), between which each signal's own is drawn
    log-uniformly. `value_range` is (black, white) of the signal, None for signed images;
    `iterations` and `restarts` are those of the reconstruction that a network reads, made for every
    signal that training draws.
    """

    def __init__(
        self,
        relative_noise: NoiseLevel = 0.05,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        iterations: int = 200,
        restarts: int = 4,
    ) -> None:
        self.relative_noise = noise_level(
            "relative_noise", relative_noise, "sigma_y over the root mean square of y"
        )
        super().__init__(relative_noise)
        highest = self.sigma_y[1] if isinstance(self.sigma_y, tuple) else self.sigma_y
        if (
            highest > 0
        ):  # by Parseval the root mean square of y is half that of the image: at most 1/2 in [0, 1]
            self.sigma_y = (0.0, highest * (0.5 if value_range is not None else math.inf))
        self._operator = phase_retrieval.PhaseRetrieval(
            value_range, iterations=iterations, restarts=restarts
        )

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return self._operator.repeat(
            1
        )  # a copy: moving an observation to another device leaves this one where it is

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        operator = self.operator(x_0, noise).to(x_0.device)
        level = log_uniform(self.relative_noise, noise.stream(2).uniform(0)).to(x_0)
        likelihood = GaussianLikelihood(
            operator, level * operator(x_0).flatten(1).square().mean(1).sqrt()
        )
        return Observation(likelihood.sample(x_0, noise.stream(3)), likelihood)

    def likelihood(
        self, operator: ForwardOperator, y: Measurement, sigma_y: float | None = None
    ) -> Likelihood:
        found = super().likelihood(operator, y, sigma_y)
        check_noise(y, found.sigma_y)
        return found

    def card(self) -> dict[str, object]:
        operator = self._operator
        settings = {
            "value_range": operator.value_range,
            "iterations": operator.iterations,
            "restarts": operator.restarts,
        }
        return card_of(self, {"relative_noise": self.relative_noise, **settings})


@final
class PoissonPhaseRetrieval(Problem):
    """y = (c / photons)^(1/2), c ~ Poisson(photons |F P x_0|^2): Fourier magnitudes from counted
    photons.

    `photons` is how many a white pixel contributes, one number or (low, high), between which each
    signal's own is drawn log-uniformly. The root makes the noise nearly Gaussian, of standard
    deviation sigma_y = 1 / (2 photons^(1/2)) whatever the rate (Bartlett 1936, J. R. Stat. Soc.
    Suppl. 3, 68), which is the likelihood here; where fewer than a few photons are expected it is
    rough: there y is too small on average. Other arguments as in `PhaseRetrieval`.
    """

    def __init__(
        self,
        photons: NoiseLevel = 1000.0,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        iterations: int = 200,
        restarts: int = 4,
    ) -> None:
        meaning = "how many photons a white pixel contributes"
        if isinstance(photons, (tuple, list)):
            low, high = checks.positive_range("photons", photons, meaning)
        else:
            low = high = checks.positive("photons", photons, meaning, "or a range (low, high)")
        super().__init__((0.5 * high**-0.5, 0.5 * low**-0.5) if low < high else 0.5 * low**-0.5)
        self.photons: NoiseLevel = (float(low), float(high)) if low < high else float(low)
        self._operator = phase_retrieval.PhaseRetrieval(
            value_range, iterations=iterations, restarts=restarts
        )

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return self._operator.repeat(
            1
        )  # a copy: moving an observation to another device leaves this one where it is

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        operator, sigma_y = (
            self.operator(x_0, noise).to(x_0.device),
            self._noise_level(noise.stream(2)).to(x_0),
        )
        photons = expand(0.25 / sigma_y**2, x_0)
        rates = (photons * operator(x_0) ** 2).cpu()
        counts = [
            torch.poisson(rate, generator=g)
            for rate, g in zip(rates, noise.stream(3).generators(0), strict=True)
        ]
        y = (torch.stack(counts).to(x_0) / photons).sqrt() if counts else rates.to(x_0)
        return Observation(y, GaussianLikelihood(operator, sigma_y))

    def likelihood(
        self, operator: ForwardOperator, y: Measurement, sigma_y: float | None = None
    ) -> Likelihood:
        found = super().likelihood(operator, y, sigma_y)
        check_noise(y, found.sigma_y)
        return found

    def card(self) -> dict[str, object]:
        operator = self._operator
        settings = {
            "value_range": operator.value_range,
            "iterations": operator.iterations,
            "restarts": operator.restarts,
        }
        return card_of(self, {"photons": self.photons, **settings})
