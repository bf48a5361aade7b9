"""What a chart shows: series of points, bands between curves, and the axes that they lie on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Series:
    """Points in order of x; `error` holds half-lengths of bars in y; a `faint` series is thin and
    pale.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    faint: bool = False
    colour: int | None = None


@final
@dataclass(frozen=True)
class Band:
    """The area between two curves, drawn pale behind everything else."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: int | None = None  # grey by default


@final
@dataclass(frozen=True)
class Axis:
    """One direction of a chart: where values lie and which of them are named."""

    label: str
    low: float
    high: float
    log: bool = False

    @classmethod
    def over(
        cls, label: str, values: Sequence[float], *, log: bool = False, margin: float = 0.04
    ) -> Axis:
        """An axis that holds all finite values, with a margin."""
        shown = [v for v in values if math.isfinite(v) and (not log or v > 0)]
        low, high = (min(shown), max(shown)) if shown else (1.0, 2.0)
        if log:
            room = max((high / low) ** margin, 1.1 if high > low else 2.0)
            return cls(label, low / room, high * room, True)
        room = (high - low) * margin if high > low else 0.5 * max(abs(high), 1.0)
        return cls(label, low - room, high + room)

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        if self.log:
            return (math.log(max(value, 1e-300)) - math.log(self.low)) / (
                math.log(self.high) - math.log(self.low)
            )
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round numbers along the axis, four to eight of them where possible."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 6, 8)):
                stride = max(1, (last - first) // 6) if digits == (1,) else 1
                found = [
                    d * 10.0**e
                    for e in range(first, last + 1, stride)
                    for d in digits
                    if self.low <= d * 10.0**e <= self.high
                ]
                if len(found) >= 3:
                    return found
        raw = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(d * unit for d in (1, 2, 2.5, 5, 10) if d * unit >= raw * 0.999)
        return [
            i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        ]
