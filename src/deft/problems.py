"""Problems: distributions over operators and noise levels, from which training and tests draw their observations.

    A ~ p(A),    sigma_y ~ p(sigma_y),    y = A(x_0) + sigma_y eps

A problem's card, `class_path` and `init_args` in plain values, says how to rebuild it: what a checkpoint records and what a YAML file holds.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from typing import Any, final

import torch
from torch import Tensor

from deft.errors import InvalidInput, nearest_names
from deft.likelihoods import GaussianLikelihood, Likelihood, Observation, PoissonLikelihood
from deft.noise import Noise
from deft.operators import (
    blur,
    high_dynamic_range,
    identity,
    inpainting,
    mri,
    nonlinear_blur,
    phase_retrieval,
    super_resolution,
    tomography,
    transmission,
    units,
)
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.callable import CallableOperator
from deft.operators.kernels import GaussianKernels, Kernels, MotionKernels
from deft.operators.masks import BoxMasks, CartesianMasks, FreeFormMasks, HalfMasks, Masks, RandomPixelMasks
from deft.types import Measurement, Signal, expand

NoiseLevel = float | tuple[float, float]


class Problem(ABC):
    """A distribution over operators and noise levels.

    `sigma_y` is the standard deviation of the measurement noise in the units of y: one number, or (low, high), between which each signal's
    own is drawn log-uniformly. A subclass draws the operator.
    """

    def __init__(self, sigma_y: NoiseLevel = 0.0) -> None:
        self.sigma_y: NoiseLevel = (sigma_y[0], sigma_y[1]) if isinstance(sigma_y, (tuple, list)) else float(sigma_y)
        low = self.sigma_y[0] if isinstance(self.sigma_y, tuple) else self.sigma_y
        if low < 0:
            raise InvalidInput(f"sigma_y is a standard deviation in the units of y and must be >= 0; got {low:g}.")
        if isinstance(self.sigma_y, tuple) and not 0 < self.sigma_y[0] <= self.sigma_y[1]:
            raise InvalidInput(f"a range of sigma_y is drawn log-uniformly and needs 0 < low <= high; got {self.sigma_y}.")

    @abstractmethod
    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        """A draw of the operator for each signal; x_0 gives shape and device."""

    @abstractmethod
    def card(self) -> dict[str, object]:
        """The problem as `class_path` and `init_args`: what a checkpoint records, and what a YAML file holds."""

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        """Observations of clean signals, each with its own operator and noise level."""
        likelihood = GaussianLikelihood(self.operator(x_0, noise.stream(1)).to(x_0.device), self._noise_level(noise.stream(2)).to(x_0))
        return Observation(likelihood.sample(x_0, noise.stream(3)), likelihood)

    def likelihood(self, operator: ForwardOperator, y: Measurement, sigma_y: float | None = None) -> Likelihood:
        """The likelihood of measurements from elsewhere; sigma_y in the units of y, None: the problem's own. Raises InvalidInput where that is a range."""
        level = self.sigma_y if sigma_y is None else sigma_y
        if isinstance(level, tuple):
            raise InvalidInput(f"the problem draws sigma_y between {level[0]:g} and {level[1]:g}; say that of these measurements.")
        return GaussianLikelihood(operator, level)

    def _noise_level(self, noise: Noise) -> Tensor:
        return _log_uniform(self.sigma_y, noise.uniform(0))


@final
class Fixed(Problem):
    """One operator for all signals, or one with parameters for each of so many: a user's own.

    Its card says which class, for how many signals and, by a hash of its settings and tensors, which one; `from_card` cannot rebuild it.
    """

    def __init__(self, operator: ForwardOperator, sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        self._operator = operator

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        if self._operator.signals not in (1, len(x_0)):
            raise InvalidInput(
                f"this {type(self._operator).__name__} has parameters for {self._operator.signals} signals, each its own, and {len(x_0)} are to be "
                "measured; give as many, or an operator that all share."
            )
        return self._operator.repeat(1)  # a copy: moving an observation to another device leaves this one where it is

    def card(self) -> dict[str, object]:
        operator = self._operator
        return _card(
            self,
            {
                "operator": _path(operator),
                "signals": operator.signals,
                "fingerprint": _fingerprint(operator),
                "sigma_y": self.sigma_y,
            },
        )


@final
class Denoising(Problem):
    """y = x_0 + sigma_y eps."""

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return identity.Identity()

    def card(self) -> dict[str, object]:
        return _card(self, {"sigma_y": self.sigma_y})


@final
class Inpainting(Problem):
    """y = mask * (x_0 + sigma_y eps).

    `masks` draws each signal's mask: "freeform" (strokes over 20-30 %), "box" (the centred half of each side), "random" (10 % of the places
    kept), "half" (which half drawn per signal), or any `Masks`.
    """

    def __init__(self, masks: str | Masks = "freeform", sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        self.masks = _masks(masks) if isinstance(masks, str) else masks

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return inpainting.Inpainting(self.masks.draw(x_0, noise))

    def card(self) -> dict[str, object]:
        return _card(self, {"masks": self.masks.card(), "sigma_y": self.sigma_y})


@final
class SuperResolution(Problem):
    """y = A x_0 + sigma_y eps, with A an average over blocks of `factor` places per axis, or antialiased bicubic."""

    def __init__(self, factor: int = 4, kernel: str = "average", sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        super_resolution.check_arguments(factor, kernel)
        self.factor, self.kernel = int(factor), kernel
        self._operators: dict[tuple[object, ...], ForwardOperator] = {}

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        key = (tuple(x_0.shape[1:]), x_0.device)
        if key not in self._operators:
            self._operators[key] = super_resolution.SuperResolution(self.factor, x_0.shape[1:], self.kernel).to(x_0.device)
        return self._operators[key].repeat(1)  # a copy: moving an observation to another device leaves this one where it is

    def card(self) -> dict[str, object]:
        return _card(self, {"factor": self.factor, "kernel": self.kernel, "sigma_y": self.sigma_y})


@final
class Deblurring(Problem):
    """y = k * x_0 + sigma_y eps, with a kernel per signal.

    `kernel` is "gaussian" (9 places wide, standard deviation 1.5), "motion" (traces of a shaking camera, 15 places wide), or any `Kernels`;
    `border` continues the signal, "circular" (closed form) or "reflect" (conjugate gradients).
    """

    def __init__(self, kernel: str | Kernels = "gaussian", border: str = "circular", sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        blur.check_border(border)
        self.kernels, self.border = _kernels(kernel) if isinstance(kernel, str) else kernel, border

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return blur.Blur(self.kernels.draw(x_0, noise), self.border)

    def card(self) -> dict[str, object]:
        return _card(self, {"kernel": self.kernels.card(), "border": self.border, "sigma_y": self.sigma_y})


@final
class HighDynamicRange(Problem):
    """y = clip(factor x_0, low, high) + sigma_y eps: exposed for too long. `clip` is (low, high)."""

    def __init__(self, factor: float = 2.0, clip: tuple[float, float] = (-1.0, 1.0), sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        self._operator = high_dynamic_range.HighDynamicRange(factor, clip)

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return self._operator.repeat(1)  # a copy: moving an observation to another device leaves this one where it is

    def card(self) -> dict[str, object]:
        return _card(self, {"factor": self._operator.factor, "clip": self._operator.clip, "sigma_y": self.sigma_y})


@final
class NonlinearBlur(Problem):
    """y = R(min(exposure k * R^{-1}(x_0), 1)) + sigma_y eps: a shaking camera blurs the light, its response R and white level come after.

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
        nonlinear_blur.NonlinearBlur(torch.ones(1, 1, 1), exposure, border, value_range)  # says what is wrong with them
        self.kernels = _kernels(kernel) if isinstance(kernel, str) else kernel
        self.exposure, self.border, self.value_range = exposure, border, (float(value_range[0]), float(value_range[1]))

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return nonlinear_blur.NonlinearBlur(self.kernels.draw(x_0, noise), self.exposure, self.border, self.value_range)

    def card(self) -> dict[str, object]:
        settings = {"exposure": self.exposure, "border": self.border, "value_range": self.value_range, "sigma_y": self.sigma_y}
        return _card(self, {"kernel": self.kernels.card(), **settings})


@final
class PhaseRetrieval(Problem):
    """y = |F P x_0| + sigma_y eps: Fourier magnitudes of zero-padded images, sigma_y being `relative_noise` times the root mean square of each y.

    `relative_noise` is one number, or (low, high), between which each signal's own is drawn log-uniformly.
    `value_range` is (black, white) of the signal, None for signed images; `iterations` and `restarts` are those of the reconstruction that a network
    reads, made for every signal that training draws.
    """

    def __init__(
        self,
        relative_noise: NoiseLevel = 0.05,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        iterations: int = 200,
        restarts: int = 4,
    ) -> None:
        super().__init__(relative_noise)
        self.relative_noise = self.sigma_y
        highest = self.sigma_y[1] if isinstance(self.sigma_y, tuple) else self.sigma_y
        if highest > 0:  # by Parseval the root mean square of y is half that of the image: at most 1/2 in [0, 1]
            self.sigma_y = (0.0, highest * (0.5 if value_range is not None else math.inf))
        self._operator = phase_retrieval.PhaseRetrieval(value_range, iterations=iterations, restarts=restarts)

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return self._operator.repeat(1)  # a copy: moving an observation to another device leaves this one where it is

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        operator = self.operator(x_0, noise).to(x_0.device)
        level = _log_uniform(self.relative_noise, noise.stream(2).uniform(0)).to(x_0)
        likelihood = GaussianLikelihood(operator, level * operator(x_0).flatten(1).square().mean(1).sqrt())
        return Observation(likelihood.sample(x_0, noise.stream(3)), likelihood)

    def card(self) -> dict[str, object]:
        operator = self._operator
        settings = {"value_range": operator.value_range, "iterations": operator.iterations, "restarts": operator.restarts}
        return _card(self, {"relative_noise": self.relative_noise, **settings})


@final
class PoissonPhaseRetrieval(Problem):
    """y = (c / photons)^(1/2), c ~ Poisson(photons |F P x_0|^2): Fourier magnitudes from counted photons.

    `photons` is how many a white pixel contributes, one number or (low, high), between which each signal's own is drawn log-uniformly. The root makes
    the noise nearly Gaussian, of standard deviation sigma_y = 1 / (2 photons^(1/2)) whatever the rate (Bartlett 1936, J. R. Stat. Soc. Suppl. 3, 68), which
    is the likelihood here; where fewer than a few photons are expected it is rough: there y is too small on average. Other arguments as in
    `PhaseRetrieval`.
    """

    def __init__(
        self,
        photons: NoiseLevel = 1000.0,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        iterations: int = 200,
        restarts: int = 4,
    ) -> None:
        low, high = (photons[0], photons[1]) if isinstance(photons, (tuple, list)) else (photons, photons)
        if not 0 < low <= high:
            raise InvalidInput(f"photons is how many a white pixel contributes, > 0, or (low, high) with low <= high; got {photons}.")
        super().__init__((0.5 * high**-0.5, 0.5 * low**-0.5) if low < high else 0.5 * low**-0.5)
        self.photons: NoiseLevel = (float(low), float(high)) if low < high else float(low)
        self._operator = phase_retrieval.PhaseRetrieval(value_range, iterations=iterations, restarts=restarts)

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return self._operator.repeat(1)  # a copy: moving an observation to another device leaves this one where it is

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        operator, sigma_y = self.operator(x_0, noise).to(x_0.device), self._noise_level(noise.stream(2)).to(x_0)
        photons = expand(0.25 / sigma_y**2, x_0)
        rates = (photons * operator(x_0) ** 2).cpu()
        counts = [torch.poisson(rate, generator=g) for rate, g in zip(rates, noise.stream(3).generators(0), strict=True)]
        y = (torch.stack(counts).to(x_0) / photons).sqrt() if counts else rates.to(x_0)
        return Observation(y, GaussianLikelihood(operator, sigma_y))

    def card(self) -> dict[str, object]:
        operator = self._operator
        settings = {"value_range": operator.value_range, "iterations": operator.iterations, "restarts": operator.restarts}
        return _card(self, {"photons": self.photons, **settings})


@final
class MRI(Problem):
    """y = M F x_0 + sigma_y eps: lines of frequencies of complex images, (2, height, width), measured with a single coil.

    `masks` draws which frequencies each signal has; `CartesianMasks()` by default, one line in four.
    """

    def __init__(self, masks: Masks | None = None, sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        self.masks = masks or CartesianMasks()

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return mri.MRI(self.masks.draw(x_0, noise))

    def card(self) -> dict[str, object]:
        return _card(self, {"masks": self.masks.card(), "sigma_y": self.sigma_y})


@final
class BlackBox(Problem):
    """y = f(x_0) + sigma_y eps, for a function of the user's own, given by its dotted path (`my_module.measure`).

    `lift`, the dotted path of a rough reconstruction from y, is needed unless torch can differentiate f and `differentiable` says so. `parameters` is the
    path of a function (x_0, noise) that draws what differs per signal: a tensor or a tuple of tensors, handed to f and lift after their first
    argument. Only functions written in Python are called.
    """

    def __init__(
        self, function: str, lift: str | None = None, differentiable: bool = False, parameters: str | None = None, sigma_y: NoiseLevel = 0.0
    ) -> None:
        super().__init__(sigma_y)
        self.function, self.lift, self.differentiable, self.parameters = function, lift, differentiable, parameters
        self._function, self._lift = _function(function), None if lift is None else _function(lift)
        self._draw = None if parameters is None else _function(parameters)
        self._operator((), ())  # says what is missing

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        drawn = () if self._draw is None else self._draw(x_0, noise)
        return self._operator(x_0.shape[1:], (drawn,) if isinstance(drawn, Tensor) else drawn)

    def _operator(self, event_shape: Sequence[int], parameters: Sequence[Tensor]) -> CallableOperator:
        return CallableOperator(
            self._function, event_shape, lift=self._lift, differentiable=self.differentiable, parameters=parameters, name=self.function
        )

    def card(self) -> dict[str, object]:
        names = ("function", "lift", "differentiable", "parameters", "sigma_y")
        return _card(self, {name: getattr(self, name) for name in names})


@final
class Tomography(Problem):
    """y = A x_0 + sigma_y eps: line integrals of images, or with `photons` what a detector counts, y ~ Poisson(photons exp(-A x_0)).

    A scan has `views` angles, evenly over [start, start + span) degrees (`angles="even"`); "turned" starts each signal's scan a whole number of degrees
    later, drawn from the full turn; "random" draws each signal's views, as many, from the whole degrees of the span.

    `window`, (low, high) in Hounsfield units, says what the prior's [-1, 1] means; A takes attenuation then, `mu_water` that of water per unit of length,
    and 1 / pixel otherwise. `field` is the length of an image's longer side, None: one per pixel. `fan`, (source, detector), are distances in the same
    unit. `detectors`, `centre`, `filter` are the operator's (deft.operators.Tomography).

    With `relative`, sigma_y is a fraction of the mean of |A x_0| of each signal. `photons`, one number or (low, high) drawn log-uniformly, excludes sigma_y;
    `floor` stands in for counts of zero before a logarithm, 0.1 as in LoDoPaB-CT (Leuschner et al. 2021, arXiv:1910.01113).
    """

    def __init__(
        self,
        views: int = 60,
        span: float = 180.0,
        start: float = 0.0,
        angles: str = "even",
        sigma_y: NoiseLevel = 0.0,
        relative: bool = False,
        photons: NoiseLevel | None = None,
        floor: float | None = 0.1,
        window: tuple[float, float] | None = None,
        mu_water: float = 0.2,
        field: float | None = None,
        fan: tuple[float, float] | None = None,
        detectors: int | None = None,
        centre: str = "middle",
        filter: str = "hann",
    ) -> None:
        super().__init__(sigma_y)
        if angles not in ("even", "turned", "random"):
            raise _unknown("angles", angles, ("even", "turned", "random"))
        if not views >= 1 or (angles == "random" and views > span):
            raise InvalidInput(
                f"a scan has at least one view, and at random at most one per degree of the span; got {views} in {span:g} degrees."
            )
        if photons is not None and sigma_y != 0.0:
            raise InvalidInput(
                f"a measurement is counts (photons) or line integrals with noise (sigma_y), not both; got {photons} and {sigma_y}."
            )
        low = photons[0] if isinstance(photons, (tuple, list)) else photons
        if (low is not None and not low > 0) or (isinstance(photons, (tuple, list)) and not photons[0] <= photons[1]):
            raise InvalidInput(f"photons is the number that is sent along each ray, > 0, or a range low <= high; got {photons}.")
        if field is not None and not field > 0:
            raise InvalidInput(f"field is the length of the longer side of an image, > 0; got {field:g}.")
        self.views, self.span, self.start, self.angles, self.relative = int(views), float(span), float(start), angles, relative
        self.photons: NoiseLevel | None = (photons[0], photons[1]) if isinstance(photons, (tuple, list)) else photons
        self.floor, self.window, self.mu_water, self.field, self.fan = floor, window, mu_water, field, fan
        self.detectors, self.centre, self.filter = detectors, centre, filter
        self._even: dict[tuple[object, ...], tomography.Tomography] = {}
        self._in_units(self._scan((1, 1), torch.zeros(1, 1)))  # says what is wrong with the settings

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        if x_0.ndim != 4:
            raise InvalidInput(f"tomography sees slices, (batch, channels, height, width); got the shape {tuple(x_0.shape)}.")
        size = (x_0.shape[2], x_0.shape[3])
        if self.angles == "even":
            key = (size, x_0.device)
            if key not in self._even:
                self._even[key] = self._scan(size, tomography.views(self.views, self.span, self.start)).to(x_0.device)
            rays = self._even[key].repeat(1)  # a copy: moving an observation to another device leaves this one where it is
        else:
            rays = self._scan(size, self._draw_angles(noise))
        operator = self._in_units(rays)
        return (
            operator
            if self.photons is None
            else transmission.Transmission(operator, _log_uniform(self.photons, noise.uniform(1)), self.floor)
        )

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        operator = self.operator(x_0, noise.stream(1)).to(x_0.device)
        likelihood: GaussianLikelihood | PoissonLikelihood
        if isinstance(operator, transmission.Transmission):
            likelihood = PoissonLikelihood(operator)
        else:
            level = self._noise_level(noise.stream(2)).to(x_0)
            likelihood = GaussianLikelihood(
                operator, level * operator(x_0).abs().flatten(1).mean(1) if self.relative and len(x_0) else level
            )
        return Observation(likelihood.sample(x_0, noise.stream(3)), likelihood)

    def likelihood(self, operator: ForwardOperator, y: Measurement, sigma_y: float | None = None) -> Likelihood:
        if isinstance(operator, transmission.Transmission):
            return PoissonLikelihood(operator)
        found = super().likelihood(operator, y, sigma_y)
        return (
            GaussianLikelihood(operator, found.sigma_y * y.abs().flatten(1).mean(1))
            if self.relative and sigma_y is None and len(y)
            else found
        )

    def card(self) -> dict[str, object]:
        return _card(self, {name: getattr(self, name) for name in inspect.signature(type(self)).parameters})

    def _scan(self, size: tuple[int, int], angles: Tensor) -> tomography.Tomography:
        pixel = 1.0 if self.field is None or size == (1, 1) else self.field / max(size)
        fan = None if size == (1, 1) else self.fan
        return tomography.Tomography(size, angles, detectors=self.detectors, pixel=pixel, fan=fan, centre=self.centre, filter=self.filter)

    def _in_units(self, rays: tomography.Tomography) -> LinearOperator:
        return rays if self.window is None else units.hounsfield(rays, self.window, self.mu_water)

    def _draw_angles(self, noise: Noise) -> Tensor:
        if self.angles == "turned":
            return tomography.views(self.views, self.span, self.start) + (360 * noise.uniform(0)).floor()[:, None]
        picked = [torch.randperm(math.floor(self.span), generator=g)[: self.views].sort().values for g in noise.generators(0)]
        return self.start + (torch.stack(picked).to(torch.get_default_dtype()) if picked else torch.zeros(0, self.views))


_KERNELS: dict[str, Callable[[], Kernels]] = {"gaussian": GaussianKernels, "motion": MotionKernels}
_MASKS: dict[str, Callable[[], Masks]] = {"freeform": FreeFormMasks, "box": BoxMasks, "random": RandomPixelMasks, "half": HalfMasks}


def _masks(name: str) -> Masks:
    if name not in _MASKS:
        raise _unknown("masks", name, _MASKS)
    return _MASKS[name]()


def _kernels(name: str) -> Kernels:
    if name not in _KERNELS:
        raise _unknown("kernel", name, _KERNELS)
    return _KERNELS[name]()


def _function(path: str) -> Callable[..., Any]:
    """The Python function of this dotted path; nothing else, for a card comes out of a file."""
    module_name, _, name = path.rpartition(".")
    try:
        module = import_module(module_name or __name__)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"the function {path!r} cannot be imported: {error}; give the dotted path of one in a module on the path."
        ) from error
    function = getattr(module, name, None)
    if not module_name or not inspect.isfunction(function) or function.__module__ != module.__name__:
        known = [key for key, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == module.__name__]
        raise InvalidInput(
            f"{path!r} is not the dotted path of a function written in that module; {module.__name__} has {', '.join(known) or 'none'}"
            f"{nearest_names(name, known)}"
        )
    return function


def _log_uniform(level: NoiseLevel, u: Tensor) -> Tensor:
    """One number for each u in [0, 1), log-uniform between the ends of a range."""
    if not isinstance(level, tuple):
        return 0 * u + level
    low, high = level
    return low * (u * math.log(high / low)).exp()


def _unknown(argument: str, name: str, known: Collection[str]) -> InvalidInput:
    return InvalidInput(f"unknown {argument} {name!r}; known: {', '.join(known)}{nearest_names(name, list(known))}")


def _card(problem: Problem, init_args: dict[str, object]) -> dict[str, object]:
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in init_args.items()}
    return {"class_path": _path(problem), "init_args": plain}


def _path(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _fingerprint(operator: ForwardOperator) -> str:
    """A hash of an operator: its classes, plain settings and tensors in half precision; names that begin with _ are derived and do not count."""
    digest = hashlib.sha256()
    for name, part in operator.named_modules():
        settings = {key: value for key, value in sorted(vars(part).items()) if key[0] != "_" and key != "training" and _is_plain(value)}
        digest.update(f"{name} {_path(part)} {settings}".encode())
    for name, value in sorted([*operator.named_parameters(), *operator.named_buffers()]):
        if name.rpartition(".")[2][0] != "_":
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().to(torch.float16 if value.is_floating_point() else value.dtype).numpy().tobytes())
    return digest.hexdigest()[:16]


def _is_plain(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def from_card(card: Mapping[str, object]) -> Problem:
    """The problem that `card` describes; classes are imported by their dotted path, so that a user's own work too.

    Only problems, and for their arguments masks, kernels and operators, are ever constructed. Raises InvalidInput for an unknown class or
    argument, and names the nearest known ones.
    """
    return _build(card, (Problem,))


def _build(card: Mapping[str, object], kinds: tuple[type, ...]) -> Any:
    path, init_args = card.get("class_path"), card.get("init_args") or {}
    if not isinstance(path, str) or not isinstance(init_args, Mapping) or set(card) - {"class_path", "init_args"}:
        raise InvalidInput(f"a card holds a 'class_path' and its 'init_args', nothing else; got {dict(card)!r}.")
    cls = _class(path, kinds)
    if cls is Fixed and isinstance(init_args.get("operator"), str):
        raise InvalidInput(
            f"a card cannot rebuild a user's own operator, {init_args['operator']}; construct it and pass deft.problems.Fixed(operator, sigma_y)."
        )
    parameters = inspect.signature(cls).parameters
    for name in init_args:
        if name not in parameters:
            raise _unknown(f"argument of {path}:", name, parameters)
    missing = [name for name, parameter in parameters.items() if parameter.default is parameter.empty and name not in init_args]
    if missing:
        raise InvalidInput(f"{path} needs {', '.join(missing)}; got {', '.join(init_args) or 'nothing'}.")
    return cls(**{name: _argument(value) for name, value in init_args.items()})


def _argument(value: object) -> Any:
    """An argument as Python writes it: a nested card as its object, a list as a tuple."""
    if isinstance(value, Mapping):
        return _build(value, _PARTS)
    return tuple(value) if isinstance(value, list) else value


def _class(path: str, kinds: tuple[type, ...]) -> type:
    module_name, _, name = path.rpartition(".")
    try:
        module = import_module(module_name or __name__)
    except ModuleNotFoundError as error:
        raise InvalidInput(f"the class {path!r} cannot be imported: {error}{nearest_names(module_name, _HOMES)}") from error
    cls: Any = getattr(module, name, None)
    if not module_name or not _buildable(cls, kinds):
        known = [key for key, value in vars(module).items() if _buildable(value, kinds)]
        what = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidInput(
            f"{path!r} is not the dotted path of a {what}; {module.__name__} knows {', '.join(known) or 'none'}{nearest_names(name, known)}"
        )
    return cls


def _buildable(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, type) and issubclass(value, kinds) and not inspect.isabstract(value)


_PARTS = (Masks, Kernels, ForwardOperator)
_HOMES = ["deft.problems", "deft.operators.masks", "deft.operators.kernels"]
