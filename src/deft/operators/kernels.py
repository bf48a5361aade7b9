"""Blur kernels: a Gaussian, and the trace of a shaking camera. Non-negative, summing to 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deft import checks
from deft.noise import Noise


def gaussian_kernel(size: int, std: float | Tensor, axes: int = 2) -> Tensor:
    """exp(-|x|^2 / (2 std^2)), normalised: (batch or 1, size, ..., size), one for each `std` (in
    places of the signal).
    """
    size = checked_size(size)
    if not isinstance(std, Tensor):
        std = checks.positive("std", std, STD)
    std = torch.as_tensor(std, dtype=torch.get_default_dtype()).reshape(-1)
    if not bool(((std > 0) & std.isfinite()).all()):
        checks.positive("std", std[~((std > 0) & std.isfinite())][0].item(), STD)
    at = torch.arange(size, dtype=std.dtype) - size // 2
    profile = torch.softmax(-0.5 * (at / std[:, None]) ** 2, dim=1)
    kernel = profile
    for _ in range(axes - 1):
        kernel = kernel[..., None] * profile.reshape(-1, *(1,) * (kernel.ndim - 1), size)
    return kernel


def motion_kernel(size: int, noise: Noise, smoothness: float = 0.9) -> Tensor:
    """The trace of a shaking camera, one per seed: (batch, size, size).

        velocity_{k+1} = smoothness velocity_k + sqrt(1 - smoothness^2) eps,
        position_{k+1} = position_k + velocity_{k+1}

    The trace is centred on its mean, scaled so that it just fits into the kernel, and painted with
    bilinear weights, as long as the camera stays at each place.
    """
    size = checked_size(size)
    smoothness = checks.share(
        "smoothness", smoothness, "the correlation of a trace's successive velocities", one=False
    )
    eps = noise.to("cpu").normal(0, (_STEPS, 2))
    velocity, trace = eps[:, 0], []
    for k in range(_STEPS):
        velocity = smoothness * velocity + math.sqrt(1 - smoothness**2) * eps[:, k]
        trace.append(velocity)
    position = torch.stack(trace, dim=1).cumsum(1)
    position = position - position.mean(1, keepdim=True)
    reach = (
        size // 2 - (size + 1) % 2
    )  # an even kernel has one place less on the far side of its centre
    position = size // 2 + reach * position / position.abs().flatten(1).amax(1)[
        :, None, None
    ].clamp(min=1e-12)
    at = torch.arange(size, dtype=position.dtype)
    weights = (1 - (position[..., None] - at).abs()).clamp(min=0)
    return torch.einsum("bki,bkj->bij", weights[:, :, 0], weights[:, :, 1]) / _STEPS


_STEPS = 256
STD = "the standard deviation of a Gaussian kernel, in places of the signal"


def checked_size(size: float) -> int:
    return checks.whole("size", size, meaning="how many places a kernel has along each axis")
