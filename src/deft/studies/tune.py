"""Choosing the one free parameter of a method on validation observations, the same way for every
method.

    value = argbest over a geometric grid of run(value)

A comparison is fair where every method had its parameter chosen over at least 8 values and two
decades, by the metric that is reported, with the optimum inside the grid. The grid extends itself
until it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from deft.errors import InvalidInput


@final
@dataclass(frozen=True)
class Tuned:
    """The value chosen, and the whole table (value, score) that it was chosen from, by rising
    value.

    `inside` says whether worse values were seen on both sides; where it is False the grid ran into
    `bounds`, or out of extensions.
    """

    value: float
    score: float
    inside: bool
    table: tuple[tuple[float, float], ...]
    metric: str
    larger_is_better: bool

    def card(self) -> dict[str, object]:
        """All of it, for a report; None for a score that was not finite, for which JSON has no
        word.
        """
        return {
            "metric": self.metric,
            "larger_is_better": self.larger_is_better,
            "value": self.value,
            "score": self.score,
            "inside": self.inside,
            "table": [
                [value, score if math.isfinite(score) else None] for value, score in self.table
            ],
        }


def geometric_grid(low: float, high: float, count: int = 9) -> list[float]:
    """`count` values from `low` to `high`, each the same multiple of the one before."""
    if not 0 < low < high or count < 2:
        raise InvalidInput(
            f"a geometric grid needs 0 < low < high and at least 2 values; got {low}, {high}, "
            f"{count}."
        )
    return [low * (high / low) ** (i / (count - 1)) for i in range(count)]


def tune(
    run: Callable[[float], float],
    values: Sequence[float],
    *,
    metric: str,
    larger_is_better: bool = False,
    bounds: tuple[float, float] = (0.0, math.inf),
    extensions: int = 4,
    on_value: Callable[[float, float], None] | None = None,
) -> Tuned:
    """Run a method at every value and keep the best; `run(value)` returns the mean of `metric` over
    the validation observations.

    `values` is geometric (`geometric_grid`), at least 8 values over two decades. Where the best is
    at an end, two more values are tried beyond it, within `bounds` (both allowed), at most
    `extensions` times. A score that is not finite counts as the worst. `on_value` sees every value
    and score.
    """
    grid = sorted(float(value) for value in values)
    if len(grid) < 8 or grid[0] <= 0 or grid[-1] / grid[0] < 100 * (1 - 1e-9):
        raise InvalidInput(
            f"tuning needs at least 8 positive values over two decades; got {grid}. See "
            "geometric_grid."
        )
    if grid[0] < bounds[0] or grid[-1] > bounds[1]:
        raise InvalidInput(
            f"values must lie within bounds {bounds}; got {grid[0]:g} to {grid[-1]:g}."
        )
    ratio = (grid[-1] / grid[0]) ** (1 / (len(grid) - 1))
    scores: dict[float, float] = {}

    def rank(value: float) -> float:
        score = scores[value]
        return -math.inf if not math.isfinite(score) else score if larger_is_better else -score

    def run_all(new: Sequence[float]) -> None:
        for value in new:
            scores[value] = float(run(value))
            if on_value is not None:
                on_value(value, scores[value])

    run_all(grid)
    for _ in range(extensions):
        new = [
            value
            for value in _beyond(sorted(scores), max(scores, key=rank), ratio)
            if bounds[0] <= value <= bounds[1]
        ]
        if not new:
            break
        run_all(new)
    best = max(scores, key=rank)
    if not math.isfinite(scores[best]):
        raise InvalidInput(
            f"no value from {min(scores):g} to {max(scores):g} gave a finite {metric}."
        )
    inside = min(scores) < best < max(scores)
    return Tuned(
        best, scores[best], inside, tuple(sorted(scores.items())), metric, larger_is_better
    )


def _beyond(grid: list[float], best: float, ratio: float) -> list[float]:
    """Two more values beyond the end at which the best one stands; none where it stands inside."""
    if best == grid[0]:
        return [best / ratio, best / ratio**2]
    if best == grid[-1]:
        return [best * ratio, best * ratio**2]
    return []
