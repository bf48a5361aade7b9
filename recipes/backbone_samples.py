"""What samples of a backbone prior look like, in numbers, while it trains."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from backbone_data import Chains, gyration
from torch import Tensor


@torch.no_grad()
def samples(
    model: Callable[[Tensor, Tensor, list[int]], Tensor],
    lengths: list[int],
    steps: int = 60,
    seed: int = 0,
    noise: float = 1.0,
    ends: tuple[float, float] = (160.0, 0.02),
) -> list[np.ndarray]:
    """Ancestral samples (eta = `noise`) over a grid that is even in the logarithm of sigma."""
    generator = torch.Generator().manual_seed(seed)
    n = max(lengths)
    mask = (torch.arange(n) < torch.tensor(lengths)[:, None])[..., None].float()

    def centred() -> Tensor:
        z = torch.randn(len(lengths), n, 3, generator=generator) * mask
        return (z - z.sum(1, keepdim=True) / mask.sum(1, keepdim=True)) * mask

    grid = torch.logspace(*np.log10(ends), steps + 1)
    x = grid[0] * centred()
    for sigma, below in pairwise(grid):
        x_0_hat = model(x, sigma.expand(len(lengths)), lengths)
        c = noise * below * (1 - (below / sigma) ** 2).sqrt()
        b = (below**2 - c**2).sqrt() / sigma
        x = (1 - b) * x_0_hat + b * x + c * centred()
    x = model(x, grid[-1].expand(len(lengths)), lengths)
    return [row[:size].numpy() for row, size in zip(x, lengths)]


def torsions(x: np.ndarray) -> np.ndarray:
    """The dihedral of four successive residues, in degrees; an alpha helix has 50."""
    b = np.diff(x, axis=0)
    n = np.cross(b[:-1], b[1:])
    m = np.cross(n[:-1], b[1:-1] / np.linalg.norm(b[1:-1], axis=1, keepdims=True))
    return np.degrees(np.arctan2(-(m * n[1:]).sum(1), (n[:-1] * n[1:]).sum(1)))


def _runs(flags: np.ndarray, least: int) -> np.ndarray:
    """The flags that stand in a run of at least so many."""
    kept, start = np.zeros(len(flags), bool), 0
    for i in range(len(flags) + 1):
        if i == len(flags) or not flags[i]:
            if i - start >= least:
                kept[start:i] = True
            start = i + 1
    return kept


def plausibility(x: np.ndarray) -> dict[str, float]:
    """Bonds, clashes, size and secondary structure of one trace; shares are of residues."""
    d = np.linalg.norm(x[:, None] - x[None], axis=-1)
    bonds, n = np.diagonal(d, 1), len(x)
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    tau, d2, d3 = torsions(x), np.diagonal(d, 2)[: n - 3], np.diagonal(d, 3)
    helix = (np.abs(tau - 50) < 20) & (np.abs(d2 - 5.5) < 0.5) & (np.abs(d3 - 5.3) < 0.6)
    left = (np.abs(tau + 50) < 20) & (np.abs(d2 - 5.5) < 0.5) & (np.abs(d3 - 5.3) < 0.6)
    strand = (np.abs(np.mod(tau, 360) - 195) < 50) & (np.abs(d2 - 6.5) < 0.8) & (d3 > 9.0)
    angles = np.diagonal(d, 2)
    return {
        "bonds": float((np.abs(bonds - 3.8) < 0.2).mean()),
        "bond_deviation": float(np.sqrt(((bonds - 3.8) ** 2).mean())),
        "angles": float(((angles > 4.7) & (angles < 7.6)).mean()),
        "clashes": float(((d < 3.5) & (apart > 2)).any(1).mean()),
        "gyration": gyration(x) / (2.2 * n**0.38),
        "helix": float((_runs(helix, 3).sum()) / n),
        "left": float((_runs(left, 3).sum()) / n),
        "strand": float((_runs(strand, 2).sum()) / n),
    }


def means(chains: list[np.ndarray]) -> dict[str, float]:
    """The mean of each number over the chains."""
    each = [plausibility(x) for x in chains]
    return {name: round(float(np.mean([e[name] for e in each])), 4) for name in each[0]}


def look(
    model: Callable[[Tensor, Tensor, list[int]], Tensor], natives: Chains
) -> dict[str, dict[str, float]]:
    """Samples of 64 and of 96 residues beside natives of 56 to 104."""
    some = samples(model, [64] * 6) + samples(model, [96] * 4, seed=1)
    own = [x for x in natives.coordinates if 56 <= len(x) <= 104][:60]
    return {"samples": means(some), "natives": means(own)}
