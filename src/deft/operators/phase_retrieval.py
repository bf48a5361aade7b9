"""Phase retrieval: the magnitudes of a Fourier transform, without its phases.

    A(x_0) = |F P u|,    u = (x_0 - low) / (high - low)

for each channel, with P padding u with zeros to twice its size along each axis and F the
orthonormal Fourier transform of that canvas. The frequency 0 stands at (0, 0), as torch.fft.fft2
has it: detectors that show it in the middle need torch.fft.ifftshift(y, dim=(-2, -1)) first.

What A cannot tell apart, and `align` removes: u rotated by 180 degrees, u moved about its canvas
and, where u has a sign, -u; each channel by itself.

`lift` is hybrid input-output (Fienup 1982, doi:10.1364/AO.21.002758), from several starts,

    z' = F^{-1}(y F z / |F z|),
    z <- z' where z' is possible (within the image, not negative), z - beta z' elsewhere,

followed by error reduction, z <- z' where it is possible and 0 elsewhere; of all starts the one
that explains y best. It is a reconstruction in its own right and costs hundreds of transforms:
`Observation.lifted` keeps it for all steps of a sampler.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.checked import Shape
from deft.types import Measurement, Signal


@final
class PhaseRetrieval(ForwardOperator):
    """Magnitudes of images, (channels, height, width), of any size: (channels, 2 height, 2 width),
    the frequency 0 at (0, 0).

    `value_range` is (black, white) of the signal, which A sees in [0, 1]; None for signed images,
    which it sees as they are. `iterations`, `restarts` and `beta` are those of the hybrid
    input-output of `lift`, a fifth of the iterations being error reduction; its starts are always
    the same.
    """

    _lift_is = "its reconstruction by hybrid input-output"

    def __init__(
        self,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        *,
        iterations: int = 200,
        restarts: int = 4,
        beta: float = 0.9,
    ) -> None:
        super().__init__()
        if value_range is not None:
            value_range = checks.finite_range(
                "value_range",
                value_range,
                "(black, white) of the signal",
                "use None for signed images",
            )
        self.value_range = value_range
        self.symmetries = (
            f"a rotation by 180 degrees, a translation{'' if self.value_range else ', a sign'}, in "
            "each channel by itself"
        )
        self.iterations = checks.whole(
            "iterations", iterations, meaning="those of the reconstruction"
        )
        self.restarts = checks.whole(
            "restarts", restarts, meaning="from how many starts the reconstruction is made"
        )
        self.beta = checks.share("beta", beta, "the feedback of hybrid input-output", zero=False)

    def signal_shape(self) -> Shape:
        return (None, None, None)

    def measurement_shape(self) -> Shape:
        return (None, None, None)

    def forward(self, x_0: Signal) -> Measurement:
        height, width = x_0.shape[2:]
        if not len(x_0):  # Fourier transforms of nothing are errors in some libraries
            return x_0.new_zeros(0, x_0.shape[1], 2 * height, 2 * width)
        result: Measurement = torch.fft.fft2(
            self._unit(x_0), s=(2 * height, 2 * width), norm="ortho"
        ).abs()
        return result

    def lift(self, y: Measurement) -> Signal:
        """Hybrid input-output; of several channels each is found by itself, and those after the
        first are then aligned with it.
        """
        height, width = y.shape[2] // 2, y.shape[3] // 2
        if y.shape[2] % 2 or y.shape[3] % 2:
            raise InvalidInput(
                "PhaseRetrieval.lift(y)",
                given=f"the shape {tuple(y.shape)}",
                expected="(batch, channels, 2 height, 2 width), an even height and width, twice "
                "those of the image",
                advice="measure the image padded with zeros to twice its size",
            )
        _check_magnitudes(y)
        if not len(y):
            return y.new_zeros(0, y.shape[1], height, width)
        found = self._hybrid_input_output(_half(y).clamp(min=0)).flatten(
            0, 1
        )  # restarts come third: (signals channels, restarts, ...)
        u = found[..., :height, :width]
        misfit = (
            (_magnitudes(u, found.shape[-2:]) - _half(y).flatten(0, 1)[:, None])
            .flatten(2)
            .norm(dim=2)
        )
        best = u[torch.arange(len(u), device=u.device), misfit.argmin(1)].reshape(
            *y.shape[:2], height, width
        )
        first = best[:, :1]
        return self._signal(
            torch.cat(
                [first, *(self._aligned(best[:, c : c + 1], first) for c in range(1, y.shape[1]))],
                dim=1,
            )
        )

    def doubts(self, y: Measurement) -> list[str]:
        """Whether the frequency 0 seems to stand in the middle, and whether more is negative than
        noise makes.
        """
        if not len(y):
            return []
        power, low = y.square().sum(1), _low_frequencies(y.shape[2:]).to(y)
        corner, middle = (
            (power * low).sum((1, 2)),
            (power * torch.fft.fftshift(low, dim=(-2, -1))).sum((1, 2)),
        )
        found = []
        if bool((shifted := middle > _MUCH * corner).any()):
            found.append(
                f"{int(shifted.sum())} of {len(y)} measurements are strongest in the middle, as "
                "if the frequency 0 stood there; here it stands at (0, 0): use "
                "torch.fft.ifftshift(y, dim=(-2, -1))"
            )
        rest = y.flatten(1)[:, 1:]
        share = rest.clamp(max=0).square().sum(1) / rest.square().sum(1).clamp(
            min=torch.finfo(y.dtype).tiny
        )
        if bool((share > 0.3).any()):
            found.append(
                f"{float(share.max()):.0%} of the power of a measurement is in negative numbers; "
                "magnitudes, |F x|, are not negative but for noise"
            )
        return found

    def align(self, x: Signal, reference: Signal) -> Signal:
        """x under the symmetry of A that brings it nearest to `reference`: rotated by 180 degrees
        or not, moved, its sign; each channel by itself.

        Nearest on the whole canvas: what a translation moves out of the image counts as lost, and
        comes back on no other side.
        """
        return self._signal(self._aligned(self._unit(x), self._unit(reference))) if len(x) else x

    def _hybrid_input_output(self, y: Tensor) -> Tensor:
        """The canvases z of every restart: (batch, channels, restarts, 2 height, 2 width); y holds
        half of the magnitudes, as a real transform does.
        """
        size = (y.shape[-2], 2 * (y.shape[-1] - 1))
        height, width = size[0] // 2, size[1] // 2
        inside = torch.zeros(size, dtype=torch.bool, device=y.device)
        inside[:height, :width] = True
        angle = (
            2
            * math.pi
            * Noise(range(self.restarts), dtype=torch.float64).uniform(0, y.shape[-2:]).to(y)
        )
        y = y[:, :, None]
        z = torch.fft.irfft2(
            torch.polar(y.expand(*y.shape[:2], *angle.shape), angle), s=size, norm="ortho"
        )
        reduction = max(self.iterations // 5, 1)
        for k in range(self.iterations):
            spectrum = torch.fft.rfft2(z, norm="ortho")
            projected = torch.fft.irfft2(y * torch.sgn(spectrum), s=size, norm="ortho")
            possible = inside if self.value_range is None else inside & (projected >= 0)
            outside = (
                torch.zeros_like(z)
                if k >= self.iterations - reduction
                else z - self.beta * projected
            )
            z = torch.where(possible, projected, outside)
        result: Tensor = z if self.value_range is None else z.clamp(max=1)
        return result

    def _aligned(self, u: Tensor, reference: Tensor) -> Tensor:
        height, width = u.shape[2:]
        canvas = (2 * height, 2 * width)
        target = torch.fft.rfft2(reference, s=canvas)
        best, score = u, u.new_full(u.shape[:2], -math.inf)
        for turned in (u, u.flip((2, 3))):
            overlap = torch.fft.irfft2(
                target * torch.fft.rfft2(turned, s=canvas).conj(), s=canvas
            ).flatten(2)
            for sign in (1,) if self.value_range is not None else (1, -1):
                value, at = (sign * overlap).max(dim=2)
                moved = sign * _moved(turned, at // canvas[1], at % canvas[1])
                better = value > score
                best, score = (
                    torch.where(better[..., None, None], moved, best),
                    torch.where(better, value, score),
                )
        return best

    def _unit(self, x: Signal) -> Tensor:
        if self.value_range is None:
            return x
        low, high = self.value_range
        return (x - low) / (high - low)

    def _signal(self, u: Tensor) -> Signal:
        if self.value_range is None:
            return u
        low, high = self.value_range
        return low + (high - low) * u


def _check_magnitudes(y: Measurement) -> None:
    """Raises `InvalidInput` where a measurement is negative on average, by more than noise around
    zero can be.
    """
    if not len(y) or y.is_meta:
        return
    flat = y.flatten(1)
    negative = flat.sum(1) < -_NOISE * flat.norm(
        dim=1
    )  # the sum of m entries of noise has the standard deviation of their norm
    if bool(negative.any()):
        raise InvalidInput(
            "PhaseRetrieval.lift(y)",
            given=f"{int(negative.sum())} of {len(y)} measurements that are negative on average",
            expected="magnitudes |F x|, which are not negative but for noise",
            advice="use the absolute value of a Fourier transform, without a logarithm",
        )


def check_noise(y: Measurement, sigma_y: Tensor) -> None:
    """Raises `InvalidInput` where magnitudes are negative by more than noise of standard deviation
    sigma_y, (batch or 1,), can make them.
    """
    if not len(y) or y.is_meta:
        return
    rounding = 1e-4 * y.flatten(1).abs().amax(1)
    lowest = y.flatten(1).amin(1)
    if bool((bad := lowest < -(2 * _NOISE * sigma_y.to(y) + rounding)).any()):
        raise InvalidInput(
            "y of PhaseRetrieval",
            given=f"magnitudes down to {float(lowest[bad].min()):.3g}",
            expected="magnitudes |F x|, which are not negative but for noise",
            advice="say the noise by sigma_y, or use the absolute value of a Fourier transform, "
            "without a logarithm",
        )


def _low_frequencies(size: tuple[int, ...]) -> Tensor:
    """1 within an eighth of each axis around the frequency 0, at (0, 0)."""
    inside = [(torch.minimum(torch.arange(n), n - torch.arange(n)) <= n // 8).float() for n in size]
    return inside[0][:, None] * inside[1]


_MUCH = 4.0  # times as strong: beyond what images do
_NOISE = 4.0  # standard deviations


def _half(y: Measurement) -> Tensor:
    """The mean of y at each frequency and its negative, on half of the frequencies: of a real image
    both are equal.
    """
    mirrored = y.flip((2, 3)).roll((1, 1), dims=(2, 3))
    return (0.5 * (y + mirrored))[..., : y.shape[3] // 2 + 1]


def _magnitudes(u: Tensor, canvas: tuple[int, ...]) -> Tensor:
    result: Tensor = torch.fft.rfft2(u, s=tuple(canvas), norm="ortho").abs()
    return result


def _moved(u: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """u moved about a canvas twice its size that has no borders, cut to u's own size; one
    translation for each signal and channel.
    """
    height, width = u.shape[2:]
    canvas = torch.nn.functional.pad(u, (0, width, 0, height))
    rows = (torch.arange(height, device=u.device) - down[..., None]) % (2 * height)
    columns = (torch.arange(width, device=u.device) - right[..., None]) % (2 * width)
    canvas = canvas.gather(2, rows[..., None].expand(*rows.shape, 2 * width))
    return canvas.gather(3, columns[:, :, None].expand(*u.shape))
