"""A prior of large pictures, made of a prior of small ones.

    x_0_hat(x_t) = sum_k C_k^T (w_k D(C_k x_t, t))

D is the small prior's denoiser, C_k cuts tile k out of the picture, and the windows w_k sum to one
(deft.priors.tiles; tiles move with the noise level unless layout="fixed"). By Tweedie's formula the
score is blended in the same way,

    s(x_t) = sum_k C_k^T (w_k s_tile(C_k x_t, t)),

as it would be for a product of the tiles' densities with exponents w_k. This is an approximation:

- The windows differ from place to place, so that the Jacobian of x_0_hat is not symmetric. x_0_hat
  is then the exact denoiser of no density at all.
- What lies further apart than a tile is independent, but for what the measurement says of it.
- Each tile is taken for a whole picture of the small prior, with its habits at the borders. A place
  near a border of one tile is mostly said by the next one, where it lies further inside.

It is exact for one tile; for a white Gaussian prior; and where tiles share no place, for the
density under which they are independent. It comes near to exact where what the prior knows reaches
less far than `overlap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.denoised import AtLevel
from deft.priors.tiles import Layout, Tiles
from deft.priors.wrapped import WrappedPrior
from deft.types import Axes, Signal, Times, axes_of


@final
class Tiled(WrappedPrior):
    """A prior of pictures of the shape `event_shape`, (channels, *space), by overlapping tiles of
    the size that `prior` knows.

    `overlap`, `batch` and `layout` are those of `Tiles`; `batch` changes no result beyond rounding,
    and the memory of an evaluation does not grow with the number of tiles (unless gradients are
    asked for, which need all of them). Noise is one field of the whole picture. Raises
    `InvalidInput` for a picture smaller than a tile, for a prior with a codec, and for signals
    without space.
    """

    def __init__(
        self,
        prior: Prior,
        event_shape: Sequence[int],
        *,
        overlap: int | None = None,
        batch: int | None = None,
        layout: Layout = "moving",
    ) -> None:
        super().__init__(prior)
        if prior.codec is not None:
            raise InvalidInput(
                f"tiles of {prior.name}",
                given="a prior with a codec",
                expected="a prior of the pictures themselves",
                advice="a codec decodes signals of one size: resize the picture to "
                f"{' x '.join(map(str, prior.signal_shape[1:]))}",
            )
        if prior.event_axes in ("vector", "cloud"):
            raise InvalidInput(
                f"tiles of {prior.name}",
                given=f"a prior of a {prior.event_axes}, {tuple(prior.event_shape)}",
                expected="a prior of sequences, images or volumes, which have space",
            )
        self.tiles = Tiles(tuple(event_shape), tuple(prior.event_shape), overlap, batch, layout)
        self.event_shape = self.tiles.event_shape

    def around(self, prior: Prior) -> Tiled:
        tiles = self.tiles
        return Tiled(
            prior,
            self.event_shape,
            overlap=tiles.overlap,
            batch=tiles.batch,
            layout=tiles.layout,
        )

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        total = torch.zeros_like(x_t)
        log_snr = AtLevel(x_t, t, *self.levels(x_t, t)).log_snr
        for cut in self.tiles.cuts(len(x_t), x_t, log_snr):
            prior = self.prior if self.num_observations == 1 else self.prior.take(cut.owner)
            cut.add(total, prior.denoise(cut.of(x_t), cut.each(t)))
        return total

    def identity(self) -> dict[str, object]:
        """The small prior's, with the size of the picture and the tiles."""
        tiles = {
            "size": list(self.prior.event_shape),
            "overlap": self.tiles.overlap,
            "layout": self.tiles.layout,
        }
        return {**self.prior.identity(), "event_shape": list(self.event_shape), "tiles": tiles}

    def noise(self, noise: Noise, step: int, draws: int | None = None) -> Signal:
        """One field of the whole picture; of one tile, the small prior's own."""
        if len(self.tiles) == 1:
            return self.prior.noise(noise, step, draws)
        return Prior.noise(self, noise, step, draws)

    def initial(self, noise: Noise) -> Signal:
        return self.prior.initial(noise) if len(self.tiles) == 1 else Prior.initial(self, noise)

    @property
    def dimensions(self) -> Tensor:
        return Prior.dimensions.fget(self)  # type: ignore[attr-defined,no-any-return]

    @property
    def event_axes(self) -> Axes:
        return axes_of(self.event_shape)
