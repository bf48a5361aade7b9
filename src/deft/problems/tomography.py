"""Computed tomography: line integrals, or the photons that are left of them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Likelihood, Observation, PoissonLikelihood
from deft.noise import Noise
from deft.operators import tomography, transmission, units
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.tomography import quantities
from deft.problems.base import NoiseLevel, Problem, log_uniform, unknown
from deft.storage.cards import card_of
from deft.types import Measurement, Signal


@final
class Tomography(Problem):
    """y = A x_0 + sigma_y eps: line integrals of images, or with `photons` what a detector counts,
    y ~ Poisson(photons exp(-A x_0)).

    A scan has `views` angles, evenly over [start, start + span) degrees (`angles="even"`); "turned"
    starts each signal's scan a whole number of degrees later, drawn from the full turn; "random"
    draws each signal's views, as many, from the whole degrees of the span.

    `window`, (low, high) in Hounsfield units, says what the prior's [-1, 1] means; A takes
    attenuation then, `mu_water` that of water per unit of length, and 1 / pixel otherwise. `field`
    is the length of an image's longer side, None: one per pixel. `fan`, (source, detector), are
    distances in the same unit. `detectors`, `centre`, `filter` are the operator's
    (deft.operators.Tomography).

    With `relative`, sigma_y is a fraction of the mean of |A x_0| of each signal. `photons`, one
    number or (low, high) drawn log-uniformly, excludes sigma_y; `floor` stands in for counts of
    zero before a logarithm, 0.1 as in LoDoPaB-CT (Leuschner et al. 2021, arXiv:1910.01113).
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
        for level in sigma_y if isinstance(sigma_y, (tuple, list)) else (sigma_y,):
            quantities.real(
                "sigma_y",
                level,
                "a standard deviation >= 0 in the units of y, or a range (low, high), low <= high",
            )
        super().__init__(sigma_y)
        if angles not in ("even", "turned", "random"):
            raise unknown("angles", str(angles), ("even", "turned", "random"))
        self.views = quantities.whole("views", views, "a number of views of a scan, at least one")
        tomography.views(self.views, span, start)
        self.span, self.start, self.angles = float(span), float(start), angles
        if angles == "random" and self.views > self.span:
            raise InvalidInput(
                "a scan has at least one view, and at random at most one per degree of the span; "
                f"got {self.views} in {self.span:g} degrees."
            )
        for name, value in {"relative": relative}.items():
            if not isinstance(value, bool):
                raise InvalidInput(name, given=value, expected="True or False")
        self.relative = relative
        self.photons = None if photons is None else _photons(photons)
        if self.photons is not None and (self.sigma_y != 0.0 or relative):
            raise InvalidInput(
                "a measurement is counts (photons) or line integrals with noise (sigma_y), not "
                f"both; got {photons} and {sigma_y}."
            )
        self.floor = (
            None
            if floor is None
            else quantities.positive("floor", floor, "what stands in for counts of zero, > 0")
        )
        self.window = None if window is None else _window(window)
        self.mu_water = quantities.positive(
            "mu_water", mu_water, "the attenuation of water per unit of length, > 0"
        )
        self.field = (
            None
            if field is None
            else quantities.positive(
                "field", field, "the length of the longer side of an image, > 0"
            )
        )
        self.fan, self.centre, self.filter = (
            None if fan is None else quantities.distances(fan),
            centre,
            filter,
        )
        self.detectors = (
            None
            if detectors is None
            else quantities.whole(
                "detectors", detectors, "a number of detectors, at least one detector"
            )
        )
        self._even: dict[tuple[object, ...], tomography.Tomography] = {}
        first = (
            tomography.views(self.views, self.span, self.start)
            if angles == "even"
            else torch.zeros(1, 1)
        )
        self._in_units(self._scan((1, 1), first))  # says what is wrong with the settings

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        if x_0.ndim != 4:
            raise InvalidInput(
                "tomography sees slices",
                given=f"the shape {tuple(x_0.shape)}",
                expected="(batch, channels, height, width)",
            )
        size = (x_0.shape[2], x_0.shape[3])
        if self.angles == "even":
            key = (size, x_0.device)
            if key not in self._even:
                self._even[key] = self._scan(
                    size, tomography.views(self.views, self.span, self.start)
                ).to(x_0.device)
            rays = self._even[key].repeat(
                1
            )  # a copy: moving an observation to another device leaves this one where it is
        else:
            rays = self._scan(size, self._draw_angles(noise))
        operator = self._in_units(rays)
        return (
            operator
            if self.photons is None
            else transmission.Transmission(
                operator, log_uniform(self.photons, noise.uniform(1)), self.floor
            )
        )

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        operator = self.operator(x_0, noise.stream(1)).to(x_0.device)
        likelihood: GaussianLikelihood | PoissonLikelihood
        if self.photons is not None:
            likelihood = PoissonLikelihood(operator)  # type: ignore[arg-type]
        else:
            level = self._noise_level(noise.stream(2)).to(x_0)
            likelihood = GaussianLikelihood(
                operator,
                level * operator(x_0).abs().flatten(1).mean(1)
                if self.relative and len(x_0)
                else level,
            )
        return Observation(likelihood.sample(x_0, noise.stream(3)), likelihood)

    def likelihood(
        self, operator: ForwardOperator, y: Measurement, sigma_y: float | None = None
    ) -> Likelihood:
        if self.photons is not None:
            return PoissonLikelihood(operator)  # type: ignore[arg-type]
        found = super().likelihood(operator, y, sigma_y)
        return (
            GaussianLikelihood(operator, found.sigma_y * y.abs().flatten(1).mean(1))
            if self.relative and sigma_y is None and len(y)
            else found
        )

    def scanned(self, size: Sequence[int], angles: Tensor | Sequence[float]) -> ForwardOperator:
        """The operator of scans at these angles in degrees, (views,) or (scans, views), of images
        of a size (height, width), in the units of the problem. Raises `InvalidInput` where the
        number of photons is drawn.
        """
        operator = self._in_units(self._scan((int(size[0]), int(size[1])), angles))
        if isinstance(self.photons, tuple):
            raise InvalidInput(
                "angles",
                given="angles alone",
                expected="the operator of the scan, with its number of photons: the problem draws "
                f"it between {self.photons[0]:g} and {self.photons[1]:g}",
                advice="make it: deft.operators.Transmission(operator, photons)",
            )
        return (
            operator
            if self.photons is None
            else transmission.Transmission(operator, self.photons, self.floor)
        )

    def conventions(self, size: int | tuple[int, int]) -> str:
        """Which detector cell is where and which way the angle turns, for images of a size: lines
        of a key and its value (docs/ct.md).
        """
        height, width = (size, size) if isinstance(size, int) else size
        even = tomography.views(self.views, self.span, self.start)
        lines = self._scan((height, width), even).conventions()
        notes = {
            "turned": "angles of a signal: these, a whole number of degrees later, drawn from the "
            "full turn",
            "random": "angles of a signal: as many, drawn from the whole degrees of the span",
        }
        return "\n".join([lines, *([notes[self.angles]] if self.angles in notes else [])])

    def card(self) -> dict[str, object]:
        return card_of(
            self, {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        )

    def _scan(
        self, size: tuple[int, int], angles: Tensor | Sequence[float]
    ) -> tomography.Tomography:
        pixel = 1.0 if self.field is None or size == (1, 1) else self.field / max(size)
        fan = None if size == (1, 1) else self.fan
        return tomography.Tomography(
            size,
            angles,
            detectors=self.detectors,
            pixel=pixel,
            fan=fan,
            centre=self.centre,
            filter=self.filter,
        )

    def _in_units(self, rays: tomography.Tomography) -> LinearOperator:
        return rays if self.window is None else units.hounsfield(rays, self.window, self.mu_water)

    def _draw_angles(self, noise: Noise) -> Tensor:
        if self.angles == "turned":
            return (
                tomography.views(self.views, self.span, self.start)
                + (360 * noise.uniform(0)).floor()[:, None]
            )
        picked = [
            torch.randperm(math.floor(self.span), generator=g)[: self.views].sort().values
            for g in noise.generators(0)
        ]
        return self.start + (
            torch.stack(picked).to(torch.get_default_dtype())
            if picked
            else torch.zeros(0, self.views)
        )


def _photons(photons: object) -> NoiseLevel:
    """The number of photons, or (low, high)."""
    expected = (
        "the number of photons that is sent along each ray, > 0, or a range (low, high), low <= "
        "high"
    )
    if not isinstance(photons, (tuple, list)):
        return quantities.positive("photons", photons, expected)
    if len(photons) != 2:
        raise InvalidInput("photons", given=photons, expected=expected)
    low, high = (quantities.positive("photons", value, expected) for value in photons)
    if low > high:
        raise InvalidInput(
            "photons",
            given=(low, high),
            expected=expected,
            advice=f"swap them: ({high:g}, {low:g})",
        )
    return low, high


def _window(window: object) -> tuple[float, float]:
    """(low, high) in Hounsfield units."""
    expected = "(low, high) in Hounsfield units, low < high"
    if not isinstance(window, (tuple, list)) or len(window) != 2:
        raise InvalidInput("window", given=window, expected=expected)
    low, high = (quantities.real("window", value, expected) for value in window)
    if not low < high:
        raise InvalidInput(
            "window",
            given=(low, high),
            expected=expected,
            advice=f"swap them: ({high:g}, {low:g})" if high < low else "",
        )
    return low, high
