"""Draws of a prior, kept in files: what an h-transform of the prior itself learns from, and what
calibration takes for the truth.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from deft.noise import mix
from deft.priors.base import Prior
from deft.samplers.dpm_solver import DPMSolver

PART = 500


def keep(path: Path, x_0: Tensor) -> None:
    """Write signals, wholly or not at all."""
    partial = path.with_suffix(f".{os.getpid()}")
    save_file({"x_0": x_0.contiguous()}, partial)
    partial.replace(path)


def drawn(prior: Prior, count: int, folder: Path, stem: str, steps: int, seed: int) -> Tensor:
    """The first `count` signals of the prior (`steps` evaluations of DPM-Solver++ each), not
    clipped, in files `stem`-START of 500, which a later call goes on from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, count, PART):
        path = folder / f"{stem}-{start:05d}.safetensors"
        if not path.exists():
            keep(
                path,
                DPMSolver(steps)(prior, PART, seed=mix(seed, start), batch_size=100, progress=True)[
                    0
                ],
            )
        parts.append(load_file(path)["x_0"])
    return torch.cat(parts)[:count]
