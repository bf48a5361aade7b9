"""k-space as people store it: complex or as two channels, of one coil or of several, in units of
its own.

A is linear and the range of the prior even, so that the image in [-a, a] becomes one in [-b, b] by
y -> (b / a) y. Sensitivities of the scan explain y but for its noise,

    min_x ||y - A x||^2 / ||y||^2  ~  sigma_y^2 m / ||y||^2,

where there are more measurements than places; by another convention of the Fourier transform
(deft.pipeline.fourier), or with coils in another order, they do not.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from deft.data.arrays import Range
from deft.errors import InvalidInput
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.mri import MRI, strongest_in_corners
from deft.operators.multi_coil_mri import MultiCoilMRI
from deft.operators.solvers import conjugate_gradients
from deft.pipeline.fourier import FFT, FORMULAS, OTHER_ORIGIN, centred, uncentred
from deft.priors.base import Prior
from deft.problems import Problem

_UNEXPLAINED, _NOISE = 0.1, 4.0  # of the power of y; times what noise has, before a word is said
_BETTER = 0.5  # times the share that another reading leaves unexplained
_ITERATIONS, _TOLERANCE = 20, 1e-2  # enough to tell a tenth of the power
_DARK, _BRIGHT = 0.02, 1.25  # shares of the prior's range beyond which units are other ones


def has_frequencies(operator: ForwardOperator) -> bool:
    """Whether an operator measures frequencies of complex images."""
    return type(operator) in (MRI, MultiCoilMRI)


@final
@dataclass(frozen=True)
class Scan:
    """What is said of k-space: of several `coils` or of one, how many (height, width); `typed` is
    the place where options are typed, "--" on the command line.
    """

    coils: bool
    size: tuple[int, int]
    typed: str = ""

    @classmethod
    def of(cls, operator: ForwardOperator, prior: Prior, typed: str = "") -> Scan:
        """The scans that an operator measures. Raises `InvalidInput` for a prior whose signals are
        no complex images.
        """
        shape = tuple(prior.signal_shape)
        if len(shape) != 3 or shape[0] != 2:
            raise InvalidInput(
                f"{typed}prior",
                given=f"{prior.name}, whose signals have the shape {shape}",
                expected="(2, height, width), real and imaginary part: k-space is of complex "
                "images",
            )
        return cls(type(operator) is MultiCoilMRI, (shape[1], shape[2]), typed)

    def frequencies(self, array: np.ndarray[Any, Any], what: str | None = None) -> Tensor:
        """k-space as (n, 2, height, width), or (n, 2, coils, height, width). Raises `InvalidInput`
        for values and shapes of another kind, NaN, and where every frequency is 0.
        """
        what = what or f"{self.typed}measurements"
        y = self._parts(what, array, "k-space has", "magnitudes have lost the phase")
        self._sized(what, y, self._advice(y))
        if not bool(y.flatten(1).any(1).all()):
            raise InvalidInput(
                what, given="k-space that is 0 everywhere", expected="some frequency that is not 0"
            )
        return y

    def sensitivities(self, array: np.ndarray[Any, Any], y: Tensor) -> Tensor:
        """Sensitivities for these measurements, (n or 1, 2, coils, height, width). Raises
        `InvalidInput` where they do not belong to them, and where no coil sees anything.
        """
        what = f"{self.typed}sensitivities"
        if not self.coils:
            raise InvalidInput(
                what,
                given="sensitivities of coils",
                expected="nothing: the problem MRI has a single coil",
                advice=f"leave {what} out, or say {self.typed}problem MultiCoilMRI, and an "
                "h-transform that was trained for it",
            )
        found = self._parts(
            what, array, "sensitivities have", "of coils without a phase save s.astype(complex)"
        )
        self._sized(what, found, "they are maps of the image, as large as it")
        if found.shape[2] != y.shape[2]:
            raise InvalidInput(
                what,
                given=f"{found.shape[2]} coils",
                expected=f"{y.shape[2]}, as many as k-space has",
                advice="give those of the coils that were kept, in their order; the axis of coils "
                "stands before height and width",
            )
        if len(found) not in (1, len(y)):
            raise InvalidInput(
                what,
                given=f"{len(found)} sets of sensitivities",
                expected=f"one for all, or {len(y)}, one for each measurement",
            )
        if not bool(found.flatten(1).any(1).all()):
            raise InvalidInput(
                what,
                given="sensitivities that are 0 everywhere",
                expected="maps of what each coil sees",
            )
        return found

    def units(self, given: Range, prior: Prior) -> float:
        """What k-space of images in this range is multiplied by, for images in the prior's. Raises
        `InvalidInput` for ranges that are not even.
        """
        own, what = prior.value_range or (-1.0, 1.0), f"{self.typed}value_range"
        even = all(math.isclose(-low, high, rel_tol=1e-3) for low, high in (given, own))
        if not even:
            raise InvalidInput(
                what,
                given=f"[{given[0]:g}, {given[1]:g}], for a prior of [{own[0]:g}, {own[1]:g}]",
                expected="[-a, a] for a prior of [-b, b]: k-space is scaled, never moved",
                advice="a is about the largest magnitude of the image in the units of k-space",
            )
        return own[1] / given[1]

    def check_units(self, y: Tensor, operator: ForwardOperator, prior: Prior, noise: float) -> None:
        """Raise `InvalidInput` where images of these measurements are visibly not in the prior's
        range.
        """
        if prior.value_range is None:
            return
        high = max(map(abs, prior.value_range))
        images = torch.linalg.vector_norm(operator.lift(y), dim=1).flatten(1)
        bright = float(images.quantile(0.995, dim=1).max())
        if _DARK * high <= bright <= _BRIGHT * math.sqrt(2) * high + 6 * noise:
            return
        low, most = f"{prior.value_range[0]:g}", f"{prior.value_range[1]:g}"
        theirs, ours = (
            (f"[-{bright:.2g},{bright:.2g}]", f"[{low},{most}]")
            if self.typed
            else (f"(-{bright:.2g}, {bright:.2g})", f"({low}, {most})")
        )
        raise InvalidInput(
            f"{self.typed}measurements",
            given=f"k-space of images with magnitudes up to {bright:.2g}",
            expected=f"images in [{low}, {most}], the range of {prior.name}",
            advice=f"say theirs: {self.typed}value_range {theirs} scales them, "
            f"{self.typed}value_range {ours} takes them as they are",
        )

    def check_reading(
        self, y: Tensor, operator: MRI | MultiCoilMRI, noise: float, fft: FFT | None
    ) -> None:
        """Whether k-space stands as `fft` says, by which `y` was centred, and whether the
        sensitivities explain what their coils measured, but for the standard deviation `noise`:
        `InvalidInput` where another convention does and none was said, otherwise a warning.

        Where the frequency 0 stands is told by the power alone: with it in the corner the image is
        multiplied by 1 and -1 in turn, which sensitivities explain as well.
        """
        one, seen = operator.take([0]), y[:1]
        power = seen.square().flatten(1, -3).sum(1)[:, None]
        if fft is None and bool(strongest_in_corners(power, one.mask).any()):
            raise InvalidInput(
                f"{self.typed}fft",
                given=f"nothing, which means k = {FORMULAS['centred']}",
                expected="measurements that are strongest in the middle; these are so in the "
                "corners",
                advice=f"say {self.typed}fft plain for k = {FORMULAS['plain']}, {self.typed}fft "
                f"corner for {FORMULAS['corner']}, or {self.typed}fft centred if it is so",
            )
        if not self.coils:
            return
        own = _unexplained(one, seen)
        by_noise = noise**2 * float(one.count(seen)[0] / power.sum())
        if own < _UNEXPLAINED or own < _NOISE * by_noise:
            return
        other = OTHER_ORIGIN[fft or "centred"]
        left = _unexplained(one, centred(uncentred(seen, fft), other))
        said = (
            f"the sensitivities leave {own:.0%} of the power of k-space unexplained, and noise of "
            f"sigma_y leaves {by_noise:.1%}"
        )
        if left < _BETTER * own:
            better = f"k = {FORMULAS[other]}, by which it is {left:.0%}"
            if fft is None:
                raise InvalidInput(
                    f"{self.typed}fft",
                    given=f"nothing, which means k = {FORMULAS['centred']}: {said}",
                    expected=better,
                    advice=f"say {self.typed}fft {other}, or {self.typed}fft centred if it is so",
                )
            said += f"; it looks more like {better}"
        warnings.warn(
            f"{said}: are they of this scan, in the order of its coils, not conjugated, and stand "
            "as the image does?",
            stacklevel=3,
        )

    def _parts(self, what: str, array: np.ndarray[Any, Any], who: str, lost: str) -> Tensor:
        """(n, 2, ...) of complex numbers, or of two channels of real ones."""
        axes = "coils, height, width" if self.coils else "height, width"
        own = 3 if self.coils else 2
        expected = f"complex ({axes}) or (n, {axes}), or real (n, 2, {axes})"
        given = f"{array.dtype} values of shape {array.shape}"
        if array.dtype.kind == "c":
            z = np.array(array, np.complex64)
            z = z[None] if z.ndim == own else z
            parts = np.stack([z.real, z.imag], axis=1) if z.ndim == own + 1 and z.size else None
        elif array.dtype.kind == "f":
            x = np.array(array, np.float32)
            x = x[None] if x.ndim == own + 1 else x
            parts = x if x.ndim == own + 2 and x.shape[1] == 2 and x.size else None
        else:
            parts = None
        if parts is None:
            advice = f"{who} a phase: save complex numbers; {lost}"
            if array.dtype.kind == "c":
                advice = (
                    "one coil of several is y[coil]; several are for MultiCoilMRI"
                    if not self.coils
                    else "for a single coil say the problem MRI, or save y[None]"
                )
            raise InvalidInput(what, given=given, expected=expected, advice=advice)
        if not np.isfinite(parts).all():
            raise InvalidInput(
                what,
                given=f"{int((~np.isfinite(parts)).sum())} of {parts.size} numbers that are NaN "
                "or infinite",
                expected="finite numbers; 0 where nothing is measured",
            )
        return torch.from_numpy(parts)

    def _sized(self, what: str, x: Tensor, advice: str) -> None:
        if tuple(x.shape[-2:]) != self.size:
            raise InvalidInput(
                what,
                given=f"{x.shape[-2]} x {x.shape[-1]} (height x width)",
                expected=f"{self.size[0]} x {self.size[1]}, the size of the signals",
                advice=advice,
            )

    def _advice(self, y: Tensor) -> str:
        if tuple(y.shape[-2:]) == self.size[::-1]:
            return "swap the last two axes (y.swapaxes(-1, -2)), and those of the maps and masks"
        if all(n >= m for n, m in zip(y.shape[-2:], self.size)):
            return (
                "k-space is not drawn by tiles: take its middle, for an image of less resolution, "
                "or a prior of that size"
            )
        return ""


def measured(y: Tensor) -> Tensor:
    """Where some coil measured anything but exactly 0: (n, 1, height, width), 1 and 0."""
    return (y != 0).flatten(1, -3).any(1)[:, None].to(y.dtype)


def noise_of(problem: Problem, sigma_y: float | Tensor | None) -> float:
    """The standard deviation of the noise that measurements are looked at with: a number, the
    largest that is finite of one for each entry, or the largest that the problem draws.
    """
    if isinstance(sigma_y, Tensor):
        finite = sigma_y[sigma_y.isfinite()]
        return float(finite.max().clamp(min=0)) if len(finite) else 0.0
    level = problem.sigma_y if sigma_y is None else sigma_y
    return float(level[1] if isinstance(level, tuple) else level)


def _unexplained(operator: LinearOperator, y: Tensor) -> float:
    """||y - A A^+ y||^2 / ||y||^2, what no image explains."""
    image = conjugate_gradients(
        lambda z: operator.adjoint(operator(z)), operator.adjoint(y), _ITERATIONS, _TOLERANCE
    )
    seen = operator.observed(y)
    return float((seen - operator(image)).square().sum() / seen.square().sum().clamp(min=1e-30))
