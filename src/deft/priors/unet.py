"""A U-Net prior that starts from the Gaussian denoiser.

    x_0_hat = W_t(x_t) + c_t F(x_t / c_in, W_t(x_t) / s, log-SNR_t)

    W_t(x_t) = m + D^T diag(alpha_t v / (alpha_t^2 v + sigma_t^2)) D (x_t - alpha_t m)
    c_t^2    = mean of v sigma_t^2 / (alpha_t^2 v + sigma_t^2)

W_t is the Wiener filter of a Gaussian with mean m and variances v in the basis D (cosines over space with principal axes over
channels, or the principal axes of small images); it is the preconditioning of Karras et al. 2022 (arXiv:2206.00364, eq. 7) with its scalar skip connection c_skip
replaced by a spectral one. c_t is the standard deviation of what the filter leaves over, so that the network F learns a target of
unit variance at every noise level, and at its zero start the prior is the Gaussian one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from deft.errors import InvalidInput
from deft.networks import UNet
from deft.priors.base import Prior
from deft.schedules import Schedule
from deft.types import Signal, Times, expand


@final
class Cosines(nn.Module):
    """D: cosines over space (the discrete cosine transform of type II), principal axes over channels."""

    axes: Tensor

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("axes", torch.eye(event_shape[0]))
        self.space = len(event_shape) - 1
        for i, n in enumerate(event_shape[1:]):
            self.register_buffer(f"cosines_{i}", _cosines(n), persistent=False)

    def fit(self, centred: Tensor) -> None:
        """The axes of the channels' covariance, from images (n, channels, *space) of mean zero."""
        flat = centred.flatten(2)
        covariance = torch.einsum("bci,bdi->cd", flat, flat) / (flat.shape[0] * flat.shape[2])
        self.axes.copy_(torch.linalg.eigh(covariance).eigenvectors.T)

    def forward(self, x: Tensor) -> Tensor:
        return self._over_space(torch.einsum("dc,bc...->bd...", self.axes, x), transpose=False)

    def inverse(self, z: Tensor) -> Tensor:
        """D^T z."""
        return torch.einsum("dc,bd...->bc...", self.axes, self._over_space(z, transpose=True))

    def _over_space(self, x: Tensor, transpose: bool) -> Tensor:
        for i in range(self.space):
            basis = getattr(self, f"cosines_{i}")
            x = torch.movedim(torch.movedim(x, i + 2, -1) @ (basis if transpose else basis.T), -1, i + 2)
        return x


@final
class PrincipalAxes(nn.Module):
    """D: the principal axes of the images themselves, a dense matrix; for signals of a thousand entries or so."""

    axes: Tensor

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("axes", torch.eye(math.prod(event_shape)))

    def fit(self, centred: Tensor) -> None:
        """The axes of the full covariance, from images (n, channels, *space) of mean zero."""
        flat = centred.flatten(1).double()
        self.axes.copy_(torch.linalg.eigh(flat.T @ flat / len(flat)).eigenvectors.T)

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.axes.T).reshape(x.shape)

    def inverse(self, z: Tensor) -> Tensor:
        """D^T z."""
        return (z.flatten(1) @ self.axes).reshape(z.shape)


_BASES: dict[str, type[Cosines] | type[PrincipalAxes]] = {"cosines": Cosines, "principal": PrincipalAxes}


@final
class SpectralGaussian(nn.Module):
    """A Gaussian whose covariance is diagonal in a basis, "cosines" or "principal"."""

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
    """A diffusion prior with the spectral Gaussian denoiser as its skip connection; the small priors that ship are of this class."""

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
        value_range: tuple[float, float] | None = (-1.0, 1.0),
        name: str = "unet",
    ) -> None:
        super().__init__()
        self.event_shape, self.schedule, self.value_range = tuple(event_shape), schedule, value_range
        self._name = name
        self.config = {
            "event_shape": list(event_shape),
            "channels": list(channels),
            "blocks": blocks,
            "patch": patch,
            "attention": list(attention),
            "basis": basis,
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
        )

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
        return wiener + self.gaussian.remainder(alpha_t, sigma_t) * self.correction(x_t, wiener, t)

    def correction(self, x_t: Signal, wiener: Signal, t: Times) -> Signal:
        """F: what the network adds to the Wiener filter, in units of the filter's own error."""
        alpha_t, sigma_t = self.levels(x_t, t)
        scale = self.gaussian.variance.mean().sqrt()
        c_in = (alpha_t**2 * scale**2 + sigma_t**2).sqrt()
        numbers = self.schedule.log_snr(t).to(x_t.dtype).reshape(-1, 1).expand(len(x_t), 1)
        return self.network(
            torch.cat([(x_t - alpha_t * self.gaussian.mean) / c_in, (wiener - self.gaussian.mean) / scale], dim=1),
            numbers,
        )


def _cosines(n: int) -> Tensor:
    """The orthonormal DCT-II matrix."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    basis = torch.cos(math.pi * k * (2 * i + 1) / (2 * n)) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis.float()
