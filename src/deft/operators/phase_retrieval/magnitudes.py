"""What measured magnitudes |F x| must look like: not negative but for noise, the frequency 0 at
(0, 0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.types import Measurement

_MUCH = 4.0  # times as strong: beyond what images do
_NOISE = 4.0  # standard deviations


def check(y: Measurement) -> None:
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


def doubts(y: Measurement) -> list[str]:
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


def _low_frequencies(size: tuple[int, ...]) -> Tensor:
    """1 within an eighth of each axis around the frequency 0, at (0, 0)."""
    inside = [(torch.minimum(torch.arange(n), n - torch.arange(n)) <= n // 8).float() for n in size]
    return inside[0][:, None] * inside[1]
