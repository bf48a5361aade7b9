"""The Gaussian denoiser of a covariance that is diagonal in a basis.

    W_t(x_t) = m + D^T diag(alpha_t v / (alpha_t^2 v + sigma_t^2)) D (x_t - alpha_t m)
    c_t^2    = mean of v sigma_t^2 / (alpha_t^2 v + sigma_t^2)

m is the mean and v are the variances in the basis D. D is one of three: cosines over space with
principal axes over channels, the same with the principal axes of the low frequencies, or the
principal axes of small images. c_t is the standard deviation of what the filter leaves over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from deft.errors import InvalidInput
from deft.types import expand

_LONGEST = 1 << 13


@final
class Cosines(nn.Module):
    """D: cosines over space (the discrete cosine transform of type II), principal axes over
    channels.
    """

    axes: Tensor

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("axes", _identity(event_shape[0]))
        self.space = len(event_shape) - 1
        for i, n in enumerate(event_shape[1:]):
            if n > _LONGEST:
                raise InvalidInput(
                    "event_shape",
                    given=list(event_shape),
                    expected=f"at most {_LONGEST} places along an axis: the cosines are kept as a "
                    "matrix of places x places",
                    advice="train on shorter pieces, or wrap a network of your own with "
                    "CallablePrior",
                )
            self.register_buffer(f"cosines_{i}", _cosines(n), persistent=False)

    def fit(self, centred: Tensor) -> None:
        """The axes of the channels' covariance, from images (n, channels, *space) of mean zero."""
        flat = centred.flatten(2)
        covariance = torch.einsum("bci,bdi->cd", flat, flat) / (flat.shape[0] * flat.shape[2])
        self.axes.copy_(torch.linalg.eigh(covariance).eigenvectors.T)

    def forward(self, x: Tensor) -> Tensor:
        return self._over_space(
            torch.einsum("dc,bc...->bd...", self.axes.to(x), x), transpose=False
        )

    def inverse(self, z: Tensor) -> Tensor:
        """D^T z."""
        return torch.einsum("dc,bd...->bc...", self.axes.to(z), self._over_space(z, transpose=True))

    def _over_space(self, x: Tensor, transpose: bool) -> Tensor:
        for i in range(self.space):
            basis = getattr(self, f"cosines_{i}").to(x)
            x = torch.movedim(
                torch.movedim(x, i + 2, -1) @ (basis if transpose else basis.T), -1, i + 2
            )
        return x


@final
class LowPrincipalAxes(nn.Module):
    """D: cosines, of which the lowest frequencies (16 per spatial axis, all channels) are turned to
    their own principal axes.

    For photographs the best that a Gaussian knows beyond a stationary spectrum is in few low
    frequencies; a full covariance of those costs 768 x 768 numbers for an RGB image of any size.
    """

    axes: Tensor

    def __init__(self, event_shape: Sequence[int], low: int = 16) -> None:
        super().__init__()
        self.cosines = Cosines(event_shape)
        self.block = (slice(None), slice(None), *(slice(min(low, n)) for n in event_shape[1:]))
        self.register_buffer(
            "axes", _identity(event_shape[0] * math.prod(min(low, n) for n in event_shape[1:]))
        )

    def fit(self, centred: Tensor) -> None:
        """The cosines' axes over channels, then those of the low frequencies, from images (n,
        channels, *space) of mean zero.
        """
        self.cosines.fit(centred)
        low = torch.cat(
            [self.cosines(chunk)[self.block].flatten(1).double() for chunk in centred.split(1000)]
        )
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
    """D: the principal axes of the images themselves, a dense matrix; for signals of a thousand
    entries or so.
    """

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
        self.register_buffer("axes", _identity(math.prod(event_shape)))

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
    """A Gaussian whose covariance is diagonal in a basis: "cosines", "low-principal" or
    "principal".
    """

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


def _cosines(n: int) -> Tensor:
    """The orthonormal DCT-II matrix."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    basis = torch.cos(math.pi * k * (2 * i + 1) / (2 * n)) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis.float()


def _identity(n: int) -> Tensor:
    """The identity matrix; torch.eye of a network without memory would import torch's compiler,
    which takes longer than all else.
    """
    matrix = torch.zeros(n, n)
    matrix.diagonal().fill_(1.0)
    return matrix
