"""A U-Net prior that starts from the Gaussian denoiser.

    x_0_hat = W_t(x_t) + c_t k_t F(x_t / c_in, W_t(x_t) / s, log-SNR_t)

    W_t(x_t) = m + D^T diag(alpha_t v / (alpha_t^2 v + sigma_t^2)) D (x_t - alpha_t m)
    c_t^2    = mean of v sigma_t^2 / (alpha_t^2 v + sigma_t^2)

W_t is the Wiener filter of a Gaussian with mean m and variances v in the basis D (cosines over space with principal axes over
channels, the same with the principal axes of the low frequencies, or the principal axes of small images); it is the preconditioning of Karras et al. 2022 (arXiv:2206.00364, eq. 7) with its scalar skip connection c_skip
replaced by a spectral one. c_t is the standard deviation of what the filter leaves over, so that the network F learns a target of
unit variance at every noise level, and at its zero start the prior is the Gaussian one. k_t, one by default, is what F is worth at each
noise level: the factor of least squared error (`fit_gain`), near zero where the data are Gaussian for all one can see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import final

import torch
from torch import Tensor, nn

from deft import checks
from deft.errors import InvalidInput
from deft.networks import UNet
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.schedules import Schedule
from deft.types import Signal, Times, expand

_LONGEST = 1 << 13


@final
class Cosines(nn.Module):
    """D: cosines over space (the discrete cosine transform of type II), principal axes over channels."""

    axes: Tensor

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("axes", torch.eye(event_shape[0]))
        self.space = len(event_shape) - 1
        for i, n in enumerate(event_shape[1:]):
            if n > _LONGEST:
                raise InvalidInput(
                    "event_shape",
                    given=list(event_shape),
                    expected=f"at most {_LONGEST} places along an axis: the cosines are kept as a matrix of places x places",
                    advice="train on shorter pieces, or wrap a network of your own with CallablePrior",
                )
            self.register_buffer(f"cosines_{i}", _cosines(n), persistent=False)

    def fit(self, centred: Tensor) -> None:
        """The axes of the channels' covariance, from images (n, channels, *space) of mean zero."""
        flat = centred.flatten(2)
        covariance = torch.einsum("bci,bdi->cd", flat, flat) / (flat.shape[0] * flat.shape[2])
        self.axes.copy_(torch.linalg.eigh(covariance).eigenvectors.T)

    def forward(self, x: Tensor) -> Tensor:
        return self._over_space(torch.einsum("dc,bc...->bd...", self.axes.to(x), x), transpose=False)

    def inverse(self, z: Tensor) -> Tensor:
        """D^T z."""
        return torch.einsum("dc,bd...->bc...", self.axes.to(z), self._over_space(z, transpose=True))

    def _over_space(self, x: Tensor, transpose: bool) -> Tensor:
        for i in range(self.space):
            basis = getattr(self, f"cosines_{i}").to(x)
            x = torch.movedim(torch.movedim(x, i + 2, -1) @ (basis if transpose else basis.T), -1, i + 2)
        return x


@final
class LowPrincipalAxes(nn.Module):
    """D: cosines, of which the lowest frequencies (16 per spatial axis, all channels) are turned to their own principal axes.

    For photographs the best that a Gaussian knows beyond a stationary spectrum is in few low frequencies; a full covariance of those costs
    768 x 768 numbers for an RGB image of any size.
    """

    axes: Tensor

    def __init__(self, event_shape: Sequence[int], low: int = 16) -> None:
        super().__init__()
        self.cosines = Cosines(event_shape)
        self.block = (slice(None), slice(None), *(slice(min(low, n)) for n in event_shape[1:]))
        self.register_buffer("axes", torch.eye(event_shape[0] * math.prod(min(low, n) for n in event_shape[1:])))

    def fit(self, centred: Tensor) -> None:
        """The cosines' axes over channels, then those of the low frequencies, from images (n, channels, *space) of mean zero."""
        self.cosines.fit(centred)
        low = torch.cat([self.cosines(chunk)[self.block].flatten(1).double() for chunk in centred.split(1000)])
        self.axes.copy_(torch.linalg.eigh(low.T @ low / len(low)).eigenvectors.T)

    def forward(self, x: Tensor) -> Tensor:
        return self._turned(self.cosines(x), self.axes.T)

    def inverse(self, z: Tensor) -> Tensor:
        """D^T z."""
        return self.cosines.inverse(self._turned(z, self.axes))

    def _turned(self, z: Tensor, axes: Tensor) -> Tensor:
        z, low = z.clone(), z[self.block]
        z[self.block] = (low.flatten(1) @ axes.to(z)).reshape(low.shape)
        return z


@final
class PrincipalAxes(nn.Module):
    """D: the principal axes of the images themselves, a dense matrix; for signals of a thousand entries or so."""

    axes: Tensor

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        if math.prod(event_shape) > _LONGEST:
            raise InvalidInput(
                "event_shape",
                given=list(event_shape),
                expected=f"at most {_LONGEST} entries for principal axes, which are a dense matrix",
                advice='take basis="cosines" or "low-principal"',
            )
        self.register_buffer("axes", torch.eye(math.prod(event_shape)))

    def fit(self, centred: Tensor) -> None:
        """The axes of the full covariance, from images (n, channels, *space) of mean zero."""
        flat = centred.flatten(1).double()
        self.axes.copy_(torch.linalg.eigh(flat.T @ flat / len(flat)).eigenvectors.T)

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.axes.to(x).T).reshape(x.shape)

    def inverse(self, z: Tensor) -> Tensor:
        """D^T z."""
        return (z.flatten(1) @ self.axes.to(z)).reshape(z.shape)


_BASES: dict[str, type[Cosines] | type[LowPrincipalAxes] | type[PrincipalAxes]] = {
    "cosines": Cosines,
    "low-principal": LowPrincipalAxes,
    "principal": PrincipalAxes,
}


@final
class SpectralGaussian(nn.Module):
    """A Gaussian whose covariance is diagonal in a basis: "cosines", "low-principal" or "principal"."""

    mean: Tensor
    variance: Tensor

    def __init__(self, event_shape: Sequence[int], basis: str = "cosines") -> None:
        super().__init__()
        if basis not in _BASES:
            raise InvalidInput(f"the basis is one of {', '.join(_BASES)}; got {basis!r}.")
        self.basis = _BASES[basis](event_shape)
        self.register_buffer("mean", torch.zeros(tuple(event_shape)))
        self.register_buffer("variance", torch.ones(tuple(event_shape)))

    def fit(self, images: Tensor) -> SpectralGaussian:
        """Mean, basis and variances of a set of images (n, channels, *space)."""
        self.mean.copy_(images.mean(0))
        centred = images - self.mean
        self.basis.fit(centred)
        total = torch.zeros_like(self.variance)
        for chunk in centred.split(1000):
            total += self.basis(chunk).square().sum(0)
        self.variance.copy_((total / len(images)).clamp(min=1e-6))
        return self

    def denoise(self, x_t: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """W_t(x_t): the posterior mean under the Gaussian."""
        gain = alpha_t * self.variance / (alpha_t**2 * self.variance + sigma_t**2)
        with torch.autocast(x_t.device.type, enabled=False):  # half precision is for networks
            return self.mean + self.basis.inverse(gain * self.basis(x_t - alpha_t * self.mean))

    def remainder(self, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """c_t: the standard deviation, per entry, of what the filter leaves over."""
        error = self.variance * sigma_t**2 / (alpha_t**2 * self.variance + sigma_t**2)
        return expand(error.flatten(1).mean(1).sqrt(), alpha_t)


@final
class UNetPrior(Prior):
    """A diffusion prior with the spectral Gaussian denoiser as its skip connection; the small priors that ship are of this class.

    `channels`, `blocks`, `patch`, `attention` and `fine` shape the network (deft.networks.unet); `gains` is the number of noise levels, evenly
    spaced in log-SNR, at which k_t is kept (0: k_t = 1). `precision`, "fp32" or "bf16", is what the network computes in; the Wiener filter and the
    weights stay in single precision.
    """

    gain: Tensor | None
    precision: str = "fp32"

    def __init__(
        self,
        event_shape: Sequence[int],
        schedule: Schedule,
        *,
        channels: Sequence[int] = (64, 128, 128),
        blocks: int = 2,
        patch: int = 2,
        attention: Sequence[bool] = (False, False, True),
        basis: str = "cosines",
        fine: int = 0,
        gains: int = 0,
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        name: str = "unet",
    ) -> None:
        super().__init__()
        if len(event_shape) not in (2, 3):
            raise InvalidInput("event_shape", given=list(event_shape), expected="(channels, length) or (channels, height, width)")
        event_shape = [checks.whole("event_shape", n, most=1 << 24, meaning="the sizes of one signal") for n in event_shape]
        gains = checks.whole("gains", gains, least=0, most=100_000, meaning="noise levels at which k_t is kept, 0 for none")
        if gains == 1:
            raise InvalidInput("gains", given=gains, expected="0, or two levels or more, between which k_t is linear")
        if value_range is not None:
            value_range = checks.finite_range("value_range", value_range, "the values of signals")
        self.event_shape, self.schedule, self.value_range = tuple(event_shape), schedule, value_range
        self._name = name
        self.config = {
            "event_shape": list(event_shape),
            "channels": list(channels),
            "blocks": blocks,
            "patch": patch,
            "attention": list(attention),
            "basis": basis,
            **({"fine": fine} if fine else {}),
            **({"gains": gains} if gains else {}),
            "value_range": None if value_range is None else list(value_range),
        }
        self.gaussian = SpectralGaussian(event_shape, basis)
        self.network = UNet(
            2 * event_shape[0],
            event_shape[0],
            channels=channels,
            blocks=blocks,
            patch=patch,
            attention=attention,
            axes=len(event_shape) - 1,
            fine=fine,
        )
        self.register_buffer("gain", torch.ones(gains) if gains else None)

    @property
    def name(self) -> str:
        return self._name

    @property
    def scale(self) -> float:  # type: ignore[override]
        """The standard deviation of x_0 over all entries, about the mean image."""
        return float(self.gaussian.variance.mean().sqrt())

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        alpha_t, sigma_t = self.levels(x_t, t)
        wiener = self.gaussian.denoise(x_t, alpha_t, sigma_t)
        worth = self.gaussian.remainder(alpha_t, sigma_t)
        if self.gain is not None:
            worth = worth * expand(self._gain_at(t), x_t)
        return wiener + worth * self.correction(x_t, wiener, t)

    def _gain_at(self, t: Times) -> Tensor:
        """k_t, linear between its levels."""
        assert self.gain is not None
        low, high = self.schedule.log_snr_range
        place = ((self.schedule.log_snr(t) - low) / (high - low)).clamp(0, 1).to(self.gain) * (len(self.gain) - 1)
        left = place.floor().long().clamp(max=len(self.gain) - 2)
        return torch.lerp(self.gain[left], self.gain[left + 1], place - left)

    @torch.no_grad()
    def fit_gain(self, images: Tensor, seed: int = 0) -> None:
        """k_t by least squares, from images in the prior's range that it was trained on: <F, target> / <F, F> at each level, cut to [0, 1].

        Raises `InvalidInput` for a prior without gains.
        """
        if self.gain is None:
            raise InvalidInput("this prior keeps no gains; make it with gains=25, say, to fit them.")
        for level, log_snr in enumerate(torch.linspace(*self.schedule.log_snr_range, len(self.gain)).tolist()):
            t = self.schedule.time(torch.tensor([log_snr]))
            along = of = 0.0
            for start in range(0, len(images), 64):
                x_0 = images[start : start + 64]
                alpha_t, sigma_t = self.levels(x_0, t)
                x_t = alpha_t * x_0 + sigma_t * Noise([mix(seed, i) for i in range(start, start + len(x_0))], x_0.device).normal(
                    level, x_0.shape[1:]
                ).to(x_0)
                wiener = self.gaussian.denoise(x_t, alpha_t, sigma_t)
                estimate = self.correction(x_t, wiener, t)
                along += float((estimate * (x_0 - wiener) / self.gaussian.remainder(alpha_t, sigma_t)).sum())
                of += float(estimate.square().sum())
            self.gain[level] = min(max(along / of, 0.0), 1.0) if of else 1.0

    def correction(self, x_t: Signal, wiener: Signal, t: Times) -> Signal:
        """F: what the network adds to the Wiener filter, in units of the filter's own error."""
        alpha_t, sigma_t = self.levels(x_t, t)
        scale = self.gaussian.variance.mean().sqrt()
        c_in = (alpha_t**2 * scale**2 + sigma_t**2).sqrt()
        numbers = self.schedule.log_snr(t).to(x_t.dtype).reshape(-1, 1).expand(len(x_t), 1)
        inputs = torch.cat([(x_t - alpha_t * self.gaussian.mean) / c_in, (wiener - self.gaussian.mean) / scale], dim=1)
        own = self.network_dtype
        if own not in (x_t.dtype, torch.float64) and own in (torch.float16, torch.bfloat16):
            return self.network(inputs.to(own), numbers.to(own)).to(x_t.dtype)
        with torch.autocast(x_t.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext():
            return self.network(inputs, numbers)


def _cosines(n: int) -> Tensor:
    """The orthonormal DCT-II matrix."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    basis = torch.cos(math.pi * k * (2 * i + 1) / (2 * n)) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis.float()
