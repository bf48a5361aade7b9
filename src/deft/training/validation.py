"""At which noise levels an h-transform earns its keep.

loss(h) against loss(no h), in bins of log-SNR, on fixed images, observations, times and noise
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import final

import torch
from torch import Tensor

from deft.noise import Noise, mix
from deft.training.base import Batch, Loss, Source

_EDGES = (-8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0)


@final
@dataclass(frozen=True)
class Bin:
    """The losses at log-SNRs in [low, high): with h, and without."""

    low: float
    high: float
    count: int
    loss: float
    without: float

    @property
    def ratio(self) -> float:
        """The loss with h as a share of the loss without: below 1 the h-transform helps."""
        return self.loss / self.without if self.without > 0 else float("nan")


@final
@dataclass(frozen=True)
class Validation:
    """The losses over all draws, and by noise level, from noise to signal."""

    loss: float
    without: float
    bins: tuple[Bin, ...]

    def table(self) -> str:
        """The bins as text, one line each."""
        lines = ["    log-SNR        draws     with h  without h   ratio"]
        for b in self.bins:
            lines.append(f"[{b.low:6.1f}, {b.high:6.1f})  {b.count:6d}  {b.loss:9.4g}  {b.without:9.4g}  {b.ratio:6.3f}")
        return "\n".join([*lines, f"{'all':16}  {sum(b.count for b in self.bins):6d}  {self.loss:9.4g}  {self.without:9.4g}"])

    def card(self) -> dict[str, object]:
        """The same as JSON."""
        return asdict(self)

    @classmethod
    def from_card(cls, card: Mapping) -> Validation:
        """The inverse of `card`."""
        return cls(card["loss"], card["without"], tuple(Bin(**b) for b in card["bins"]))


def validate(
    loss: Callable[[Batch], Loss], source: Source, *, draws: int, batch_size: int, device: torch.device, dtype: torch.dtype, seed: int = 0
) -> Validation:
    """The losses on `draws` draws, which depend on `seed` alone and run through the items of the source in order, again where it has fewer."""
    losses: list[Loss] = []
    with torch.no_grad():
        for start in range(0, draws, batch_size):
            places = range(start, min(start + batch_size, draws))
            noise = Noise([mix(seed, 7, k) for k in places], device, dtype)
            losses.append(loss(source.batch([k % len(source) for k in places], noise)))
    value, without, log_snr = (
        torch.cat([getattr(part, name).double().cpu() for part in losses]) for name in ("value", "without", "log_snr")
    )
    return Validation(float(value.mean()), float(without.mean()), _bins(value, without, log_snr))


def _bins(value: Tensor, without: Tensor, log_snr: Tensor) -> tuple[Bin, ...]:
    owner = torch.bucketize(log_snr, torch.tensor(_EDGES, dtype=torch.float64), right=True)
    bins = []
    for i in range(len(_EDGES) + 1):
        mine = owner == i
        if not bool(mine.any()):
            continue
        low = _EDGES[i - 1] if i else min(float(log_snr.min().floor()), _EDGES[0])
        high = _EDGES[i] if i < len(_EDGES) else max(float(log_snr.max().ceil()), _EDGES[-1])
        bins.append(Bin(low, high, int(mine.sum()), float(value[mine].mean()), float(without[mine].mean())))
    return tuple(bins)
