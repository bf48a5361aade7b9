"""C-alpha traces: a batch of chains of different lengths, and which of their residues exist.

    x     (chains, length, 3) in angstrom, residues in order, padding after the last one
    mask  (chains, length), true where a residue exists; None where all do

All measures of this package compute in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deft.errors import InvalidInput

Trace = Float[Tensor, "chains length 3"]
Present = Bool[Tensor, "chains length"]


def checked(x: Tensor, mask: Tensor | None, name: str = "x") -> tuple[Tensor, Tensor]:
    """The chains in double precision, padding set to zero, and their mask.

    Raises `InvalidInput` for another shape, residues after padding, a chain without residues, or
    coordinates that are not finite.
    """
    if x.dim() != 3 or x.shape[-1] != 3:
        raise InvalidInput(
            name, given=f"shape {tuple(x.shape)}", expected="C-alpha traces (chains, length, 3)"
        )
    if mask is None:
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if mask.dtype != torch.bool or mask.shape not in (x.shape[:2], x.shape[1:2]):
        raise InvalidInput(
            "mask",
            given=f"{mask.dtype} of shape {tuple(mask.shape)}",
            expected=f"truth values of shape {tuple(x.shape[:2])} or {tuple(x.shape[1:2])}",
        )
    mask = mask.to(x.device).expand(x.shape[:2])
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()) or not bool(mask.any(1).all()):
        raise InvalidInput(
            "mask",
            given="a chain without residues, or with padding before its last residue",
            expected="residues first, then padding",
        )
    x = x.double().masked_fill(~mask[..., None], 0.0)
    broken = (~torch.isfinite(x)).flatten(1).any(1).nonzero().flatten().tolist()
    if broken:
        raise InvalidInput(
            name,
            given=f"coordinates that are not finite in chain {broken[0] + 1} of {len(x)}",
            expected="finite coordinates in angstrom",
            advice="leave these chains out, and count them as failures",
        )
    return x, mask


def lengths(mask: Present) -> Tensor:
    """The number of residues of each chain: (chains,)."""
    return mask.sum(1)


def stacked(chains: Sequence[Tensor]) -> tuple[Trace, Present]:
    """Chains (length, 3) of different lengths as one padded batch with its mask."""
    if not chains:
        raise InvalidInput("chains", given="none", expected="one chain (length, 3) or more")
    longest = max(len(chain) for chain in chains)
    x = torch.zeros(len(chains), longest, 3, dtype=torch.double)
    mask = torch.zeros(len(chains), longest, dtype=torch.bool)
    for i, chain in enumerate(chains):
        x[i, : len(chain)], mask[i, : len(chain)] = chain.double(), True
    return x, mask


def mean_over(values: Tensor, where: Tensor) -> Tensor:
    """The mean of `values` (chains, ...) where `where` is true; not a number where it never is."""
    counted = where.flatten(1).sum(1)
    total = values.double().masked_fill(~where, 0.0).flatten(1).sum(1)
    return total / counted.double().masked_fill(counted == 0, torch.nan)
