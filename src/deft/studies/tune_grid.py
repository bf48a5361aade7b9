"""Learning where a sampler asks the prior, for one number of steps, on validation observations.

    values = argmin over rising log-SNRs of run(LogSNRCurve(values))

by a pattern search: each log-SNR in turn is moved by `move` to either side, and stays where that is
better; when no move helps, `move` is halved. It needs no gradient, never ends worse than it began,
and every value that it saw is in its table.

For samplers without fresh noise a smooth score with little noise of its own is the distance to the
same sampler's samples with many steps, from the same x_1: E ||x_0 - x_0'||^2 over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from deft import checks
from deft.errors import InvalidInput
from deft.samplers.grids import LogSNRCurve

_APART = 0.05  # between neighbouring log-SNRs, at least


@final
@dataclass(frozen=True)
class TunedGrid:
    """The log-SNRs chosen, after the noise end, their score, and every (values, score) seen, in the
    order of the search.
    """

    values: tuple[float, ...]
    score: float
    table: tuple[tuple[tuple[float, ...], float], ...]
    metric: str

    def grid(self) -> LogSNRCurve:
        """As an argument of a sampler."""
        return LogSNRCurve(self.values)

    def card(self) -> dict[str, object]:
        """As JSON; `grid` is what a card or a YAML file names."""
        return {
            "metric": self.metric,
            "grid": {"class": "LogSNRCurve", "args": {"values": list(self.values)}},
            "score": self.score,
            "started": self.table[0][1] if math.isfinite(self.table[0][1]) else None,
            "runs": len(self.table),
        }


def tune_grid(
    run: Callable[[LogSNRCurve], float],
    start: Sequence[float],
    *,
    metric: str,
    move: float = 1.0,
    least: float = 0.25,
    bounds: tuple[float, float] = (-16.0, 16.0),
    on_value: Callable[[tuple[float, ...], float], None] | None = None,
) -> TunedGrid:
    """The grid with the lowest `run(grid)`, from the log-SNRs `start` on; `run` returns the mean of
    `metric`, lower being better, over the validation observations.

    `move` is the first change of a log-SNR and `least` the last; they stay rising, and within
    `bounds`. A score that is not finite counts as the worst. `on_value` sees every try. Raises
    `InvalidInput` for a start that is no grid, and where no score is finite.
    """
    move, least = checks.positive("move", move), checks.positive("least", least)
    low, high = checks.finite_range("bounds", bounds, "log-SNRs")
    values = LogSNRCurve(start).values
    if values[0] < low or values[-1] > high:
        raise InvalidInput(
            "start", given=list(values), expected=f"log-SNRs within bounds, {low:g} to {high:g}"
        )
    scores: dict[tuple[float, ...], float] = {}

    def score(tried: tuple[float, ...]) -> float:
        if tried not in scores:
            scores[tried] = float(run(LogSNRCurve(tried)))
            if on_value is not None:
                on_value(tried, scores[tried])
        return scores[tried] if math.isfinite(scores[tried]) else math.inf

    score(values)  # the first row of the table
    while move >= least:
        before = values
        for k in range(len(values)):
            for sign in (1, -1):
                tried = (*values[:k], values[k] + sign * move, *values[k + 1 :])
                ends = (low - _APART, *tried, high + _APART)
                apart = all(b - a >= _APART for a, b in zip(ends[k:], ends[k + 1 : k + 3]))
                if apart and score(tried) < score(values):
                    values = tried
                    break
        if values == before:
            move /= 2
    if not math.isfinite(score(values)):
        raise InvalidInput(f"no grid of {len(scores)} tried gave a finite {metric}.")
    return TunedGrid(values, scores[values], tuple(scores.items()), metric)
