"""What tells a prior from another one: name, hash of its weights, schedule, prediction, scale."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from deft.schedules import Schedule
from deft.storage.table import public_name

_NO_WEIGHTS = "e3b0c44298fc1c14"  # what version 0.1 recorded of a prior without weights


def same_identity(theirs: Mapping[str, object], ours: Mapping[str, object]) -> list[str]:
    """What differs between a prior as it was recorded and another one, in words; what an earlier
    version did not record is not compared.
    """
    found = []
    for name in ("hash", "event_shape", "prediction", "scale", "schedule", "tiles", "context"):
        if name not in theirs or name not in ours:
            continue
        a, b = (
            None if identity[name] == _NO_WEIGHTS else identity[name] for identity in (theirs, ours)
        )
        if not _alike(a, b):
            found.append(f"{name} {_in_words(a)} there and {_in_words(b)} here")
    return found


def is_nameless(identity: Mapping[str, object]) -> bool:
    """Whether nothing tells this prior from another one of the same shape: it has no weights, and
    was given no identity.
    """
    return identity.get("hash") in (None, _NO_WEIGHTS)


def schedule_in_numbers(schedule: Schedule) -> dict[str, object]:
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    scale = getattr(schedule, "time_scale", 1)
    return {
        "class": public_name(type(schedule)),
        "log_snr": [round(value, 2) for value in schedule.log_snr(t).tolist()],
        "alpha": [float(f"{value:.3g}") for value in schedule.alpha(t).tolist()],
        **({} if scale == 1 else {"time_scale": float(f"{scale:.4g}")}),
    }


def _alike(a: object, b: object) -> bool:
    """Equal, but for the rounding of numbers."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return set(a) == set(b) and all(_alike(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return (
            math.isclose(a, b, rel_tol=5e-3, abs_tol=0.02)
            if isinstance(a, float) or isinstance(b, float)
            else a == b
        )
    return a == b


def _in_words(value: object) -> str:
    if isinstance(value, Mapping) and isinstance(value.get("log_snr"), list):
        ends = value["log_snr"]
        return (
            f"{value.get('class')} (log-SNR {ends[-1]:g} to {ends[0]:g}, {ends[len(ends) // 2]:g} "
            "in the middle)"
        )
    return str(value)
