"""k-space and coils, most of them wrong in one way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deft.priors import zoo
from tests.commands.conftest import tiny_prior
from tests.pipeline.scans import SIZE, k_space, maps


def build(root: Path) -> None:
    """The folder, filled."""
    root.mkdir()
    zoo.save(root / "complex.safetensors", tiny_prior(shape=(2, SIZE, SIZE)), {"data": "none"})
    k, s = k_space(noise=0.01), maps()
    arrays = {
        "k": k,
        "k_magnitudes": np.abs(k),
        "k_small": 1e-5 * k,
        "k_zero": 0 * k,
        "k_nan": np.where(k == k[0, 6, 6], np.nan, k),
        "k_large": k_space(noise=0.01, size=32, lines=None),
        "k_plain": k_space("plain", noise=0.01),
        "k_shifted": k_space("shifted", noise=0.01),
        "maps": s,
        "maps_five": s[:5],
        "maps_small": s[:, :8, :8],
        "maps_zero": 0 * s,
        "maps_nan": np.where(s == s[0, 3, 3], np.nan, s),
        "maps_real": np.abs(s),
        "maps_three": np.stack([s, s, s]),
        "maps_turned": s[::-1],
        "lines_short": np.arange(8) % 2,
    }
    for name, array in arrays.items():
        np.save(root / f"{name}.npy", array)
    np.savez(root / "several.npz", k=k, s=s)
