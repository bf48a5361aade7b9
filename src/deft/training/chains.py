"""Protein chains of several lengths as what training draws its batches from.

    x_0 = (r_1 - m, ..., r_n - m, 0, ..., 0),    m = (1/n) sum_i r_i

A batch has as many places as its longest chain, or as the prior pads every chain to, and tells the
prior which of them exist; a loss is a mean over the dimensions of those (`Loss.over`). Where the
prior pads no further, batches are of chains of about one length, each as often as any other
(`deft.training.sources.Order`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import Prior
from deft.training.batch import Batch
from deft.training.sources import Source


@final
class Chains(Source):
    """C-alpha traces (residues, 3) in angstrom, for a backbone prior (deft.priors.backbone).

    Raises `InvalidInput` for a prior that takes no mask, and for chains that are not finite, of
    another shape, or of a length that the prior does not know.
    """

    def __init__(self, chains: Sequence[Float[Tensor, "_ 3"]], prior: Prior) -> None:
        if "mask" not in prior.takes:
            raise InvalidInput(
                "Chains",
                given=f"{prior.name}, which takes no mask",
                expected="a backbone prior, such as backbone-128",
            )
        if not len(chains):
            raise InvalidInput("there are no chains to train on; got an empty list.")
        for i, chain in enumerate(chains):
            if chain.ndim != 2 or chain.shape[1] != 3 or not bool(chain.isfinite().all()):
                raise InvalidInput(
                    "chains",
                    given=f"chain {i} of shape {tuple(chain.shape)}",
                    expected="finite coordinates (residues, 3) in angstrom",
                )
        self._least = min(
            prior.given(mask=torch.ones(length, dtype=torch.bool)).event_shape[0]
            for length in {len(chain) for chain in chains}
        )  # which refuses lengths that it does not know
        self.chains = [chain - chain.mean(0) for chain in chains]

    def __len__(self) -> int:
        return len(self.chains)

    @property
    def sizes(self) -> Sequence[int] | None:
        lengths = [len(chain) for chain in self.chains]
        return None if self._least >= max(lengths) else lengths

    def card(self) -> dict[str, object]:
        return {**super().card(), "batches": "of any length" if self.sizes is None else "by length"}

    def batch(self, index: Sequence[int], noise: Noise) -> Batch:
        chosen = [self.chains[int(i)] for i in index]
        lengths = torch.tensor([len(chain) for chain in chosen])
        x_0 = torch.zeros(len(chosen), max(int(lengths.max()), self._least), 3)
        for row, chain in enumerate(chosen):
            x_0[row, : len(chain)] = chain
        mask = torch.arange(x_0.shape[1]) < lengths[:, None]
        return Batch(
            x_0.to(noise.device, noise.dtype),
            noise.stream(11),
            context={"mask": mask.to(noise.device)},
        )
