"""What h-transforms of backbone priors are trained on: chains of several lengths.

    x_0 = (r_1, ..., r_n, 0, ..., 0),    r_i the C-alpha atoms in angstrom, centred if the prior is

A batch is as long as its longest chain, and the prior is told how long each of them is. Of a chain
that is longer than the prior's longest a window is drawn afresh each time, and every chain is
turned at random, so that nothing is learned from how a file happens to be oriented.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.geometry import rotations
from deft.noise import Noise
from deft.priors.backbone import BackbonePrior
from deft.training.batch import Batch
from deft.training.sources import Source

_WINDOW, _TURN = 12, 13  # streams of an item's noise
_LONGEST_BOND = 20.0  # angstrom between neighbours; beyond, the unit is another or a chain broken


@final
class Backbones(Source):
    """C-alpha traces, (residues, 3) each, in angstrom.

    Raises `InvalidInput` for chains that are shorter than the prior's shortest, not finite, or in
    another unit.
    """

    def __init__(self, chains: Sequence[Tensor], prior: BackbonePrior) -> None:
        if not len(chains):
            raise InvalidInput("chains", given="none", expected="one C-alpha trace or more")
        self.chains, self.prior = [_checked(i, x, prior) for i, x in enumerate(chains)], prior

    def __len__(self) -> int:
        return len(self.chains)

    def batch(self, index: Sequence[int], noise: Noise) -> Batch:
        longest = self.prior.max_length
        u = noise.to("cpu", torch.float64).stream(_WINDOW).uniform(0).tolist()
        windows = []
        for i, place in zip(index, u, strict=True):
            chain = self.chains[int(i)]
            start = int(place * (max(len(chain) - longest, 0) + 1))
            windows.append(chain[start : start + longest])
        places = max((len(window) for window in windows), default=1)
        x_0 = torch.zeros(len(windows), places, 3)
        mask = torch.zeros(len(windows), places, dtype=torch.bool)
        for i, window in enumerate(windows):
            x_0[i, : len(window)], mask[i, : len(window)] = window, True
        x_0, mask = x_0.to(noise.device, noise.dtype), mask.to(noise.device)
        told = self.prior.given(mask=mask) if len(mask) else self.prior
        mask = told.mask if len(mask) else mask  # a prior may pad further
        x_0 = torch.nn.functional.pad(x_0, (0, 0, 0, mask.shape[1] - places))
        turn = rotations(noise.stream(_TURN).normal(0, (4,)))
        return Batch(
            self.prior.projected(x_0 @ turn.mT, mask), noise.stream(11), context={"mask": mask}
        )


def _checked(i: int, chain: Tensor, prior: BackbonePrior) -> Tensor:
    """A chain in single precision."""
    what = f"chain {i}"
    if not isinstance(chain, Tensor) or chain.ndim != 2 or chain.shape[1] != 3:
        shape = tuple(chain.shape) if isinstance(chain, Tensor) else type(chain).__name__
        raise InvalidInput(what, given=shape, expected="a tensor (residues, 3), C-alpha atoms")
    if len(chain) < prior.min_length:
        raise InvalidInput(
            what,
            given=f"{len(chain)} residues",
            expected=f"{prior.min_length} or more, for {prior.name}",
            advice="leave it out",
        )
    chain = chain.float()
    if not bool(chain.isfinite().all()):
        raise InvalidInput(what, given="values that are not finite", expected="coordinates")
    bond = float(chain.diff(dim=0).norm(dim=1).median())
    if not 2.0 < bond < _LONGEST_BOND:
        raise InvalidInput(
            what,
            given=f"neighbours {bond:.3g} apart, in the middle",
            expected="C-alpha atoms in angstrom, 3.8 apart",
            advice="coordinates in nanometres are to be multiplied by 10"
            if math.isclose(bond, 0.38, rel_tol=0.3)
            else "",
        )
    return chain
