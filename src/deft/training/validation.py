"""At which noise levels an h-transform earns its keep.

loss(h) against loss(no h), in bins of log-SNR, on fixed images, observations, times and noise
(deft.training.loop draws them)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

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
    """The loss over all draws; of an objective that compares with no h, also that loss, and both by
    noise level, from noise to signal.
    """

    loss: float
    without: float | None = None
    bins: tuple[Bin, ...] = ()

    @classmethod
    def by_noise_level(cls, value: Tensor, without: Tensor, log_snr: Tensor) -> Validation:
        """From the losses of all draws, with h and without, and the log-SNRs at which they were
        taken.
        """
        return cls(float(value.mean()), float(without.mean()), _bins(value, without, log_snr))

    def table(self) -> str:
        """The bins as text, one line each; of a loss alone, that."""
        if self.without is None:
            return f"validation loss {self.loss:.4g}"
        lines = ["    log-SNR        draws     with h  without h   ratio"]
        for b in self.bins:
            lines.append(
                f"[{b.low:6.1f}, {b.high:6.1f})  {b.count:6d}  {b.loss:9.4g}  {b.without:9.4g}  "
                f"{b.ratio:6.3f}"
            )
        return "\n".join(
            [
                *lines,
                f"{'all':16}  {sum(b.count for b in self.bins):6d}  {self.loss:9.4g}  "
                f"{self.without:9.4g}",
            ]
        )

    def card(self) -> dict[str, object]:
        """The same as JSON."""
        return asdict(self)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Validation:
        """The inverse of `card`."""
        return cls(card["loss"], card["without"], tuple(Bin(**b) for b in card["bins"]))


def _bins(value: Tensor, without: Tensor, log_snr: Tensor) -> tuple[Bin, ...]:
    owner = torch.bucketize(log_snr, torch.tensor(_EDGES, dtype=torch.float64), right=True)
    bins = []
    for i in range(len(_EDGES) + 1):
        mine = owner == i
        if not bool(mine.any()):
            continue
        low = _EDGES[i - 1] if i else min(float(log_snr.min().floor()), _EDGES[0])
        high = _EDGES[i] if i < len(_EDGES) else max(float(log_snr.max().ceil()), _EDGES[-1])
        bins.append(
            Bin(low, high, int(mine.sum()), float(value[mine].mean()), float(without[mine].mean()))
        )
    return tuple(bins)
