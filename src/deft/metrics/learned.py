"""Measures in the feature space of a trained network, whose weights the user gives as files.

    LPIPS(x, x_0) = sum over layers l of  mean over places of
            w_l . (f_l(x) / |f_l(x)| - f_l(x_0) / |f_l(x_0)|)^2

    FID           = |m_x - m_y|^2 + tr(C_x + C_y - 2 (C_x^{1/2} C_y C_x^{1/2})^{1/2})

    KID           = unbiased MMD^2 of features under the kernel (x . y / d + 1)^3

Nothing is ever downloaded: without a file a measure is "not available". A result names its files by
their SHA-256, because numbers from different weights cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deft.errors import CheckpointError, InvalidInput
from deft.storage.fingerprint import of_file
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
    and KID a TorchScript feature network.
    """

    lpips: str | Path | None = None
    lpips_heads: str | Path | None = None
    lpips_network: str = "alex"
    features: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.lpips is None) != (self.lpips_heads is None):
            raise InvalidInput(
                "LPIPS needs two files: `lpips`, the weights of its network, and `lpips_heads`, "
                "its linear heads; one was given."
            )

    def card(self) -> dict[str, object]:
        """What a result says of the files: their SHA-256, or that a measure was not available."""
        found: dict[str, object] = {"LPIPS": "not available", "FID and KID": "not available"}
        if self.lpips is not None and self.lpips_heads is not None:
            found["LPIPS"] = {
                "network": self.lpips_network,
                "sha256": [file_sha256(self.lpips), file_sha256(self.lpips_heads)],
            }
        if self.features is not None:
            found["FID and KID"] = {"sha256": [file_sha256(self.features)]}
        return found


# One entry per convolution of torchvision's `features`: (index, in, out, kernel, stride, padding);
# pools by index: (kernel, stride).
_ALEX = {
    0: (3, 64, 11, 4, 2),
    3: (64, 192, 5, 1, 2),
    6: (192, 384, 3, 1, 1),
    8: (384, 256, 3, 1, 1),
    10: (256, 256, 3, 1, 1),
}
_VGG = {
    i: (a, b, 3, 1, 1)
    for i, a, b in (
        (0, 3, 64),
        (2, 64, 64),
        (5, 64, 128),
        (7, 128, 128),
        (10, 128, 256),
        (12, 256, 256),
        (14, 256, 256),
        (17, 256, 512),
        (19, 512, 512),
        (21, 512, 512),
        (24, 512, 512),
        (26, 512, 512),
        (28, 512, 512),
    )
}
_NETWORKS = {
    "alex": (_ALEX, {2: (3, 2), 5: (3, 2)}, (1, 4, 7, 9, 11), 31),
    "vgg": (_VGG, {4: (2, 2), 9: (2, 2), 16: (2, 2), 23: (2, 2)}, (3, 8, 15, 22, 29), 16),
}


@final
class LPIPS(nn.Module):
    """The perceptual distance of Zhang et al. 2018, arXiv:1801.03924 (version 0.1), between images
    in [-1, 1].

    `weights` is a state dict of torchvision's AlexNet or VGG-16, `heads` the linear heads
    (`lin0.model.1.weight`, ...) published with the paper.
    """

    shift: Tensor
    spread: Tensor

    def __init__(self, weights: str | Path, heads: str | Path, network: str = "alex") -> None:
        super().__init__()
        if network not in _NETWORKS:
            raise InvalidInput(f"LPIPS knows the networks {', '.join(_NETWORKS)}; got {network!r}.")
        convolutions, pools, self.taps, self.smallest = _NETWORKS[network]
        layers: list[nn.Module] = []
        for i in range(self.taps[-1] + 1):
            if i in convolutions:
                inside, outside, kernel, stride, padding = convolutions[i]
                layers.append(nn.Conv2d(inside, outside, kernel, stride, padding))
            else:
                layers.append(nn.MaxPool2d(*pools[i]) if i in pools else nn.ReLU())
        self.features = nn.Sequential(*layers)
        state = _read_state(weights)
        _load(
            self.features,
            {
                name.removeprefix("features."): v
                for name, v in state.items()
                if name.startswith("features.")
            },
            weights,
        )
        head_state = _read_state(heads)
        widths = [convolutions[tap - 1][1] for tap in self.taps]
        self.heads = nn.ParameterList()
        for layer, width in enumerate(widths):
            name = f"lin{layer}.model.1.weight"
            if name not in head_state or head_state[name].numel() != width:
                raise CheckpointError(
                    f"{heads} holds no head {name} of {width} weights for {network}; give the "
                    "heads file of that network."
                )
            self.heads.append(nn.Parameter(head_state[name].reshape(1, width, 1, 1).float()))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1))
        self.sha256 = (file_sha256(weights), file_sha256(heads))
        self.eval().requires_grad_(False)

    def forward(self, x: Signal, reference: Signal) -> Tensor:
        """One distance per image."""
        total = torch.zeros(len(x), device=x.device)
        for f, g, w in zip(self._activations(x), self._activations(reference), self.heads):
            gap = F.normalize(f, dim=1, eps=1e-10) - F.normalize(g, dim=1, eps=1e-10)
            total = total + (w * gap**2).sum(1).flatten(1).mean(1)
        return total

    def _activations(self, x: Signal) -> list[Tensor]:
        x = (_three_channels(x, self.smallest) - self.shift) / self.spread
        kept = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                kept.append(x)
        return kept


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
        [network(_three_channels(part)) for part in _to_unit(x, value_range).split(_BATCH)]
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


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file. Raises `InvalidInput` where it is not there."""
    _check_there(path)
    return of_file(path)


def _check_there(path: str | Path) -> None:
    if not Path(path).is_file():
        raise InvalidInput(
            f"there is no weights file {path}; nothing is downloaded, give the path of a file "
            "that is there."
        )


def _read_state(path: str | Path) -> dict[str, Tensor]:
    """A state dict from safetensors or from a `.pt` file of tensors alone."""
    _check_there(path)
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        result: dict[str, Tensor] = torch.load(str(path), map_location="cpu", weights_only=True)
        return result
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a state dict of tensors (safetensors, or a .pt of tensors alone): "
            f"{error}"
        ) from error


def _load(module: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    wanted = module.state_dict()
    missing = [
        name for name in wanted if name not in state or state[name].shape != wanted[name].shape
    ]
    if missing:
        raise CheckpointError(
            f"{path} lacks features.{missing[0]} of shape {tuple(wanted[missing[0]].shape)}: it "
            "belongs to another network."
        )
    module.load_state_dict({name: state[name] for name in wanted})


def _to_unit(x: Tensor, value_range: tuple[float, float]) -> Tensor:
    """From `value_range` to [-1, 1]."""
    low, high = value_range
    return (2 * (x.float() - low) / (high - low)) - 1


def _three_channels(x: Tensor, smallest: int = 1) -> Tensor:
    if x.ndim != 4 or x.shape[1] not in (1, 3) or min(x.shape[2:]) < smallest:
        raise InvalidInput(
            f"feature networks read images of 1 or 3 channels and at least {smallest} places per "
            f"axis; got {tuple(x.shape[1:])}."
        )
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
