"""A small fully connected network and the features of the numbers that it is told.

    features(c) = [c / 8, sin(2^k c / 8), cos(2^k c / 8)],   k = 0 .. K - 1

log-SNRs run over [-20, 20], so that c / 8 is of order one and the highest frequency resolves steps
of about 0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deft import checks


@final
class ScalarFeatures(nn.Module):
    """Sines and cosines of a few numbers per signal: (batch, numbers) -> (batch, width)."""

    frequencies: Tensor

    def __init__(self, numbers: int, frequencies: int = 5) -> None:
        super().__init__()
        self.register_buffer(
            "frequencies", torch.tensor([2.0**k for k in range(frequencies)]), persistent=False
        )
        self.width = numbers * (1 + 2 * frequencies)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, c: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch width"]:
        c = c / 8
        angle = (c[..., None] * self.frequencies.to(c.dtype)).flatten(1)
        return torch.cat([c, angle.sin(), angle.cos()], dim=1)


@final
class MLP(nn.Module):
    """Numbers per signal -> features -> layers with SiLU -> `out` numbers per signal; the last
    layer's weights start at zero and its bias at `bias`, so that an untrained network is the
    constant `bias`.
    """

    def __init__(
        self, numbers: int, out: int, width: int = 64, depth: int = 2, bias: float = 0.0
    ) -> None:
        super().__init__()
        _check(numbers=numbers, out=out, width=width, depth=depth)
        self.features = ScalarFeatures(numbers)
        layers: list[nn.Module] = []
        size = self.features.width
        for _ in range(depth):
            layers += [nn.Linear(size, width), nn.SiLU()]
            size = width
        last = nn.Linear(size, out)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, bias)
        self.layers = nn.Sequential(*layers, last)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, c: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch out"]:
        result: Float[Tensor, "batch out"] = self.layers(self.features(c))
        return result


@final
class ResidualMLP(nn.Module):
    """A vector and a few numbers per signal -> a vector: residual layers behind LayerNorm; the last
    layer starts at zero, and so does the network.
    """

    def __init__(
        self, in_features: int, out: int, *, numbers: int, width: int = 256, depth: int = 3
    ) -> None:
        super().__init__()
        _check(in_features=in_features, numbers=numbers, out=out, width=width, depth=depth)
        self.features = ScalarFeatures(numbers)
        self.entry = nn.Linear(in_features + self.features.width, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.exit = nn.Linear(width, out)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(
        self, x: Float[Tensor, "batch in"], c: Float[Tensor, "batch numbers"]
    ) -> Float[Tensor, "batch out"]:
        x = self.entry(torch.cat([x, self.features(c)], dim=1))
        for block in self.blocks:
            x = x + block(x)
        result: Float[Tensor, "batch out"] = self.exit(self.norm(x))
        return result


def _check(**counts: int) -> None:
    """Raise `InvalidInput` for a count that makes no network; a depth may be 0."""
    for what, count in counts.items():
        checks.whole(what, count, least=int(what != "depth"), most=1 << 24)
