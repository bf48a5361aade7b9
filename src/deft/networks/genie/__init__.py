"""Genie's network: noisy C-alpha positions -> refined ones.

    frames = Frenet frames of x_t,    p = triangle updates of the pair features
    frames = structure layers (s, p, frames),    eps_hat = x_t - origin of the refined frames

Lin & AlQuraishi 2023, arXiv:2301.12485. Written anew from its description (Apache-2.0); names and
shapes of parameters are those of the published weights. It commutes with rotations and moves of
x_t, not with mirrors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from deft.networks.genie.features import PairFeatures, SingleFeatures
from deft.networks.genie.frames import Frames, frenet
from deft.networks.genie.sizes import Sizes
from deft.networks.genie.structure import StructureLayer
from deft.networks.genie.triangles import PairLayer

__all__ = ["GenieNetwork", "Sizes"]


@final
class GenieNetwork(nn.Module):
    """x_t in angstrom, the entry of the schedule, which residues exist -> eps_hat."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.single_feature_net = SingleFeatures(sizes)
        self.pair_feature_net = PairFeatures(sizes)
        self.pair_transform_net = _Layers(PairLayer(sizes) for _ in range(sizes.pair_layers))
        self.structure_net = _Layers(StructureLayer(sizes) for _ in range(sizes.structure_layers))

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(
        self,
        x_t: Float[Tensor, "batch residues 3"],
        entry: Int[Tensor, " batch"],
        mask: Bool[Tensor, "batch residues"],
    ) -> Float[Tensor, "batch residues 3"]:
        pairs = mask[:, :, None] & mask[:, None]
        s = self.single_feature_net(entry, mask)
        p = self.pair_feature_net(s, x_t, pairs)
        for layer in self.pair_transform_net.net:
            p = layer(p, pairs)
        frames = Frames(frenet(x_t, mask), x_t)
        for _ in range(self.sizes.blocks):
            for layer in self.structure_net.net:
                s, frames = layer(s, p, frames, pairs)
        return x_t - frames.origin


@final
class _Layers(nn.Module):
    """Layers, by the name that the published weights give them."""

    def __init__(self, layers: object) -> None:
        super().__init__()
        self.net = nn.ModuleList(layers)  # type: ignore[arg-type]
