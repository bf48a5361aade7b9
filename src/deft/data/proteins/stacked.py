"""The motifs of several layouts as tensors.

index_ik  the residue of design i that is residue k of its motif, -1 where there is none
group_ik  its group, -1 where there is none
xyz_ik    its C-alpha atom in angstrom, 0 where there is none
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deft.data.proteins.problem import Layout
from deft.errors import InvalidInput


def stacked_motifs(
    layouts: Sequence[Layout],
) -> tuple[
    Int[Tensor, "designs rows"], Int[Tensor, "designs rows"], Float[Tensor, "designs rows 3"]
]:
    """Where the motif stands in each design, its groups, and its coordinates as its file has them,
    in float64; problems, and sizes of motifs, may differ. Raises `InvalidInput` for no layouts.
    """
    if not layouts:
        raise InvalidInput("layouts", given="none", expected="one or more")
    rows = max(len(layout.index) for layout in layouts)
    index = torch.full((len(layouts), rows), -1)
    group, xyz = index.clone(), torch.zeros(len(layouts), rows, 3, dtype=torch.float64)
    for i, layout in enumerate(layouts):
        m = len(layout.index)
        index[i, :m] = torch.from_numpy(layout.index)
        group[i, :m] = torch.from_numpy(layout.problem.group)
        xyz[i, :m] = torch.from_numpy(layout.problem.trace)
    return index, group, xyz
