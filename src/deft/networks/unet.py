"""A U-Net for signals of one or two axes and any size.

    (batch, channels, *space), numbers per signal -> (batch, out_channels, *space)

It enters by pixel-unshuffle (`patch`), halves the resolution between levels, and pads inside, so
that sizes need not be a multiple of anything. Ronneberger et al. 2015, arXiv:1505.04597; residual
blocks and scale-shift conditioning as in Dhariwal & Nichol 2021, arXiv:2105.05233.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from deft import checks
from deft.errors import InvalidInput
from deft.networks.mlp import ScalarFeatures
from deft.types import expand

_WIDEST = 100_000
_CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


def check_sizes(
    channels: Sequence[int], blocks: int, patch: int, attention: Sequence[bool], fine: int = 0
) -> None:
    """Raise `InvalidInput` for numbers that make no network."""
    checks.whole("blocks", blocks, least=0, most=1000, meaning="at each size")
    checks.whole("patch", patch, most=1024, meaning="the side of a patch")
    checks.whole(
        "fine",
        fine,
        least=0,
        most=_WIDEST,
        meaning="the width of the stage at full resolution, 0 for none",
    )
    if not channels:
        expected = "a width for each size, of which there is one or more"
        raise InvalidInput("channels", given=list(channels), expected=expected)
    for width in channels:
        checks.whole("channels", width, most=_WIDEST, meaning="the width at each size")
    if len(attention) != len(channels):
        raise InvalidInput(
            "attention",
            given=list(attention),
            expected=f"one truth value for each of the {len(channels)} channels",
        )


@final
class UNet(nn.Module):
    """Numbers per signal condition every block; the last convolution starts at zero.

    `channels` gives the width of each level, `blocks` the residual blocks per level, `attention`
    says for each level whether its blocks are followed by self-attention, `entry` is the width of
    the first convolution (1 for large patches, which are wide already), `axes` is the number of
    spatial axes (1 or 2). `fine` is the width of a last residual block at full resolution, which
    reads the input again beside what left by pixel-shuffle and so mends the seams between patches;
    0 is none.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        numbers: int = 1,
        channels: Sequence[int] = (64, 128, 128),
        blocks: int = 2,
        patch: int = 1,
        entry: int = 3,
        attention: Sequence[bool] = (False, False, True),
        axes: int = 2,
        fine: int = 0,
    ) -> None:
        super().__init__()
        check_sizes(channels, blocks, patch, attention, fine)
        checks.whole("axes", axes, most=2, meaning="the spatial axes of a signal")
        for what, count in (
            ("in_channels", in_channels),
            ("out_channels", out_channels),
            ("numbers", numbers),
            ("entry", entry),
        ):
            checks.whole(what, count, most=_WIDEST)
        self.patch, self.axes, self.levels = patch, axes, len(channels)
        conv = _CONV[axes]
        width = max(4 * channels[0], 64) if channels[0] >= 32 else 64
        features = ScalarFeatures(numbers)
        self.embedding = nn.Sequential(
            features,
            nn.Linear(features.width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )
        self.enter = conv(in_channels * patch**axes, channels[0], entry, padding=entry // 2)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        size = channels[0]
        sizes: list[list[int]] = []
        for level, c in enumerate(channels):
            self.shrink.append(
                nn.Identity() if level == 0 else conv(size, c, 3, stride=2, padding=1)
            )
            size = c
            self.down.append(
                nn.ModuleList(_Block(c, c, width, attention[level], axes) for _ in range(blocks))
            )
            sizes.append([c] * blocks)
        self.middle = _Block(size, size, width, attention[-1], axes)
        for level in reversed(range(self.levels)):
            c = channels[level]
            self.grow.append(
                nn.Identity() if level == self.levels - 1 else conv(size, c, 3, padding=1)
            )
            self.up.append(
                nn.ModuleList(
                    _Block(2 * c, c, width, attention[level], axes) for _ in range(blocks)
                )
            )
            size = c
        last = conv(size, out_channels * patch**axes, 3, padding=1)
        _zero(last)
        self.leave = nn.Sequential(_group_norm(size), nn.SiLU(), last)
        self.fine = _Fine(in_channels, out_channels, fine, width, axes) if fine else None

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(
        self, x: Float[Tensor, "batch channels *space"], c: Float[Tensor, "batch numbers"]
    ) -> Float[Tensor, "batch out *space"]:
        return self.keeping(x, c, 1)[0]

    def keeping(
        self, x: Tensor, c: Tensor, outer: int, kept: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The output, and the deep features: what enters the `outer` outermost levels on their way
        up. With `kept`, those of an earlier call, the deeper levels are not evaluated.
        """
        space = x.shape[2:]
        multiple = self.patch * 2 ** (self.levels - 1)
        pad = [(-n) % multiple for n in space]
        if any(pad):
            x = F.pad(x, [side for n in reversed(pad) for side in (0, n)], mode="replicate")
        embedding = self.embedding(c)
        padded = x
        x = self.enter(_unshuffle(x, self.patch))
        skips: list[Tensor] = []
        deep = self.levels - outer
        for shrink, blocks in zip(self.shrink[: None if kept is None else outer], self.down):
            x = shrink(x)
            for block in cast(Iterable[_Block], blocks):
                x = block(x, embedding)
                skips.append(x)
        if kept is None:
            x = self.middle(x, embedding)
        for level, (grow, blocks) in enumerate(zip(self.grow, self.up)):
            if level < deep and kept is not None:
                continue
            if level == deep and kept is not None:
                x = kept
            elif not isinstance(grow, nn.Identity):
                x = grow(F.interpolate(x, scale_factor=2, mode="nearest"))
            if level == deep:
                kept = x
            for block in cast(Iterable[_Block], blocks):
                x = block(torch.cat([x, skips.pop()], dim=1), embedding)
        x = _shuffle(self.leave(x), self.patch, self.axes)
        if self.fine is not None:
            x = self.fine(x, padded, embedding)
        for axis, n in enumerate(space):
            x = x.narrow(2 + axis, 0, n)
        return x, padded if kept is None else kept


@final
class _Fine(nn.Module):
    """x + conv(block(conv(x, input))) at full resolution; starts as x."""

    def __init__(self, size_in: int, size_out: int, width: int, embedding: int, axes: int) -> None:
        super().__init__()
        conv = _CONV[axes]
        self.enter = conv(size_in + size_out, width, 3, padding=1)
        self.block = _Block(width, width, embedding, False, axes)
        self.leave = conv(width, size_out, 3, padding=1)
        _zero(self.leave)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, x: Tensor, beside: Tensor, embedding: Tensor) -> Tensor:
        result: Tensor = x + self.leave(
            F.silu(self.block(self.enter(torch.cat([x, beside], dim=1)), embedding))
        )
        return result


@final
class _Block(nn.Module):
    """x + conv(silu(scale-shift(norm(conv(silu(norm(x))))))), then self-attention where asked
    for.
    """

    def __init__(self, size_in: int, size: int, embedding: int, attention: bool, axes: int) -> None:
        super().__init__()
        conv = _CONV[axes]
        self.norm_1, self.norm_2 = _group_norm(size_in), _group_norm(size)
        self.conv_1, self.conv_2 = conv(size_in, size, 3, padding=1), conv(size, size, 3, padding=1)
        self.condition = nn.Linear(embedding, 2 * size)
        self.skip = nn.Identity() if size_in == size else conv(size_in, size, 1)
        self.attention = _Attention(size) if attention else None
        _zero(self.conv_2)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = expand(self.condition(embedding), x).chunk(2, dim=1)
        h = self.conv_1(F.silu(self.norm_1(x)))
        h = self.conv_2(F.silu(torch.addcmul(shift, self.norm_2(h), 1 + scale)))
        x = self.skip(x) + h
        return x if self.attention is None else self.attention(x)


@final
class _Attention(nn.Module):
    """x + attention over all places, with heads of about 32 channels."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.heads = max(size // 32, 1)
        while size % self.heads:
            self.heads -= 1
        self.norm = _group_norm(size)
        self.qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        _zero(self.out)

    if TYPE_CHECKING:
        __call__: Callable[..., Tensor]

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        batch, places, size = tokens.shape
        q, k, v = (
            self.qkv(tokens)
            .reshape(batch, places, 3, self.heads, size // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, places, size)
        result: Tensor = x + self.out(mixed).transpose(1, 2).reshape(x.shape)
        return result


def _zero(layer: nn.Module) -> None:
    """Weights and biases of zero: what the layer ends starts as nothing."""
    for p in layer.parameters():
        nn.init.zeros_(p)


def _group_norm(size: int) -> nn.GroupNorm:
    """Groups of at least 4 channels, at most 32 groups."""
    groups = max(min(32, size // 4), 1)
    while size % groups:
        groups -= 1
    return nn.GroupNorm(groups, size)


def _unshuffle(x: Tensor, patch: int) -> Tensor:
    """Each patch of places becomes channels: (b, c, n p, ...) -> (b, c p^axes, n, ...)."""
    if patch == 1:
        return x
    batch, channels, *space = x.shape
    axes = len(space)
    x = x.reshape(batch, channels, *(m for n in space for m in (n // patch, patch)))
    inner = [3 + 2 * i for i in range(axes)]
    outer = [2 + 2 * i for i in range(axes)]
    return x.permute(0, 1, *inner, *outer).reshape(
        batch, channels * patch**axes, *(n // patch for n in space)
    )


def _shuffle(x: Tensor, patch: int, axes: int) -> Tensor:
    """The inverse of `_unshuffle`."""
    if patch == 1:
        return x
    batch, channels, *space = x.shape
    x = x.reshape(batch, channels // patch**axes, *(patch,) * axes, *space)
    order = [i for pair in zip(range(2 + axes, 2 + 2 * axes), range(2, 2 + axes)) for i in pair]
    return x.permute(0, 1, *order).reshape(
        batch, channels // patch**axes, *(n * patch for n in space)
    )
