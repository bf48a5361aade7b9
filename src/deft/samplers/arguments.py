"""What every sampler is given: numbers of steps and samples, seeds, and how many signals at
once.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import SupportsIndex

from deft import checks
from deft.errors import MOST, InvalidInput, room_for
from deft.noise import as_seed, mix

Seed = SupportsIndex | Iterable[SupportsIndex]
MOST_STEPS = 1_000_000


def at_least_one(steps: int) -> int:
    """The number of steps of a sampler. Raises `InvalidInput` where it is none."""
    return checks.whole("steps", steps, most=MOST_STEPS, meaning="at least one step of a sampler")


def order_of(order: int) -> int:
    """The order of a multistep sampler. Raises `InvalidInput` unless it is 1, 2 or 3."""
    return checks.whole("order", order, most=3, meaning="the order of the sampler, 1, 2 or 3")


def sample_count(num_samples: int) -> int:
    """How many samples of each observation. Raises `InvalidInput` where it is none."""
    return checks.whole(
        "num_samples", num_samples, most=MOST, meaning="the samples of each observation"
    )


def at_most(batch_size: int | None) -> int | None:
    """The largest number of signals that are denoised at once; None for all. Raises `InvalidInput`
    where it is none.
    """
    return (
        None
        if batch_size is None
        else checks.whole(
            "batch_size",
            batch_size,
            meaning="the signals that are denoised at once",
            advice="use None for all",
        )
    )


def room_for_batch(signals: int) -> AbstractContextManager[None]:
    """Within the block, say which batch size to try where the device has no room."""
    advice = (
        f"try batch_size={signals // 2}, which changes no result"
        if signals > 1
        else "one at a time is the least"
    )
    return room_for(f"{signals} signals at once", advice)


def observation_seeds(seed: Seed, num_observations: int) -> list[int]:
    """One seed per observation, from one integer or as given."""
    try:
        seeds = [as_seed(value) for value in seed]  # type: ignore[union-attr]
    except TypeError:  # one number, of any kind
        return [mix(as_seed(seed), 3, i) for i in range(num_observations)]  # type: ignore[arg-type]
    if len(seeds) != num_observations:
        raise InvalidInput(
            f"got {len(seeds)} seeds for {num_observations} observations; give one integer, or "
            "one per observation."
        )
    return seeds
