"""What an evaluation keeps in its folder beside the parts: results, the first pictures, and samples
as they were aligned; written here, and read again.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.likelihoods import Observation
from deft.storage.atomic import atomic
from deft.storage.claims import read_json
from deft.studies.method import folder_name
from deft.studies.parts import read_parts
from deft.types import Signal


def read_results(folder: str | Path) -> dict[str, Any]:
    """What `evaluate` wrote."""
    path = Path(folder) / "results.json"
    if not path.exists():
        raise InvalidInput(f"{folder} holds no results.json; run the evaluation to its end first.")
    return read_json(path)


def read_samples(folder: str | Path, label: str, count: int) -> Tensor:
    """The samples of a method's first images, aligned if that is how they were scored: (images,
    samples, *event).
    """
    aligned = _aligned_file(folder, label)
    if aligned.exists():
        with np.load(aligned, allow_pickle=False) as stored:
            return torch.from_numpy(stored["samples"])[:count]
    parts = sorted(
        read_parts(Path(folder) / "parts" / folder_name(label)), key=lambda part: part.start
    )
    return torch.cat([part.samples for part in parts])[:count] if parts else torch.empty(0)


def keep_pictures(
    folder: Path, images: Signal, observation: Observation, value_range: tuple[float, float] | None
) -> None:
    """The first images and what was measured of them, for the report."""
    some = observation.take(range(len(images)))
    buffer = io.BytesIO()
    lifted, coverage = some.lifted, some.operator.coverage(images.to(some.y.device))
    np.savez_compressed(
        buffer,
        truth=images.float().cpu().numpy(),
        measurement=lifted.float().cpu().numpy(),
        coverage=coverage.float().cpu().numpy(),
        value_range=np.array(value_range or (float(images.min()), float(images.max()))),
    )
    with atomic(folder / "pictures.npz") as file:
        file.write(buffer.getvalue())


def keep_aligned(folder: Path, label: str, samples: Tensor) -> None:
    """The samples as they were scored, for the report."""
    buffer = io.BytesIO()
    np.savez(buffer, samples=samples.numpy())
    with atomic(_aligned_file(folder, label)) as file:
        file.write(buffer.getvalue())


def keep_intervals(folder: Path, label: str, low: Signal, high: Signal) -> None:
    """The ends of the intervals of the first images, for the report."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, low=low.numpy(), high=high.numpy())
    with atomic(_intervals_file(folder, label)) as file:
        file.write(buffer.getvalue())


def read_intervals(folder: str | Path, label: str) -> tuple[np.ndarray, np.ndarray] | None:
    """What `keep_intervals` wrote; None where there is nothing."""
    path = _intervals_file(folder, label)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return stored["low"], stored["high"]


def _intervals_file(folder: str | Path, label: str) -> Path:
    return Path(folder) / "intervals" / f"{folder_name(label)}.npz"


def _aligned_file(folder: str | Path, label: str) -> Path:
    return Path(folder) / "aligned" / f"{folder_name(label)}.npz"
