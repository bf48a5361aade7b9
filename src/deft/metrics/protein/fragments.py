"""Fragment coverage: whether each stretch of a design exists in some known protein.

    coverage = share of windows of 9 residues whose RMSD to a window of the training set is < 1 A

For each window the nearest ones of the training set are looked up by their inner distances
|x_i - x_j|, |i - j| >= 2, and the volumes (a x b) . c / 3.8^2 of three steps in a row, which have
the opposite sign in mirror images; the RMSD is computed to the `_CANDIDATES` nearest. What is
found is therefore an upper bound of the least RMSD, and the coverage a lower bound. A design that
stands in the training set is covered wholly: leave it out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.geometry import superposed
from deft.metrics.protein.traces import Present, Trace, checked

_CANDIDATES, _STEP = 8, 3.8
_LARGEST = 150_000  # windows of a training set; of more, every second, third, ... is taken
_AT_ONCE = 256


def fragment_coverage(
    x: Trace,
    mask: Present | None,
    training: Trace,
    training_mask: Present | None,
    size: int = 9,
    within: float = 1.0,
) -> Tensor:
    """The share of windows of `size` residues of each design within `within` angstrom of a window
    of the training set: (designs,); not a number for designs shorter than a window.
    """
    distance, there = nearest_fragments(x, mask, training, training_mask, size)
    total = there.sum(1)
    covered = ((distance < within) & there).sum(1).double()
    return covered / total.double().masked_fill(total == 0, torch.nan)


def nearest_fragments(
    x: Trace, mask: Present | None, training: Trace, training_mask: Present | None, size: int = 9
) -> tuple[Tensor, Tensor]:
    """The least RMSD found from each window of a design to the training set, and which windows
    exist: both (designs, length - size + 1).
    """
    if size < 4:
        raise InvalidInput("size", given=size, expected="windows of 4 residues or more")
    x, mask = checked(x, mask)
    training, training_mask = checked(training, training_mask, "training")
    if min(x.shape[1], int(training_mask.sum(1).max())) < size:
        raise InvalidInput(
            "size", given=size, expected="at most the length of the designs and training chains"
        )
    own, there = _windows(x, mask, size)
    known, exists = _windows(training, training_mask, size)
    asked, library = own[there], known[exists]
    library = library[:: -(-len(library) // _LARGEST)]
    features = _features(library)
    length = features.square().sum(1)
    found = []
    for part in asked.split(_AT_ONCE):
        # |f - g|^2 up to |f|^2, which is the same for all g
        away = length - 2 * _features(part) @ features.T
        near = library[away.topk(min(_CANDIDATES, len(library)), 1, largest=False).indices]
        ones = torch.ones(near.shape[:3], dtype=torch.double, device=x.device)
        off = superposed(part[:, None].expand_as(near), near, ones) - near
        found.append(off.square().sum(-1).mean(-1).sqrt().amin(1))
    distance = torch.full(there.shape, torch.inf, dtype=torch.double, device=x.device)
    distance[there] = torch.cat(found) if found else distance[there]
    return distance, there


def _windows(x: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """All windows (chains, places, size, 3), and which of them exist."""
    return x.unfold(1, size, 1).mT, mask.unfold(1, size, 1).all(-1)


def _features(windows: Tensor) -> Tensor:
    """Inner distances and volumes of windows (windows, size, 3), in single precision."""
    size = windows.shape[1]
    i, j = torch.triu_indices(size, size, 2)
    steps = windows[:, 1:] - windows[:, :-1]
    turned = torch.linalg.cross(steps[:, :-2], steps[:, 1:-1])
    volume = (turned * steps[:, 2:]).sum(-1) / _STEP**2
    return torch.cat([(windows[:, i] - windows[:, j]).norm(dim=-1), volume], 1).float()
