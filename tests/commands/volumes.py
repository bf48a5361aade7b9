"""Volumes in files, and their slices as they are shown."""

from pathlib import Path

import nibabel
import numpy as np

TOP = 1200.0


def volume(seed: int = 0, size: int = 16, slices: int = 5) -> np.ndarray:
    """Smooth values from 0 to 1200, (right, front, head)."""
    places = np.linspace(0, 3, size)
    phase = np.random.default_rng(seed).uniform(0, 6, slices)
    waves = np.sin(places[:, None, None] + phase) * np.cos(2 * places[None, :, None] - phase)
    return ((waves + 1) / 2 * TOP).astype(np.float32)


def shown(values: np.ndarray, number: int) -> np.ndarray:
    """An axial slice with the right at the left and the front at the top, in [-1, 1]."""
    return values[::-1, ::-1, number].T / TOP * 2 - 1


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path
