"""A learned h-transform on a picture larger than the one that it was trained for.

    m     = the maps that its network reads, of the whole picture:
            x_t, x_0_hat, r_t g, lift(y), coverage
    shift = sum_k C_k^T (w_k shift_tile(C_k m, log-SNR_t, sigma_y))

Residual, guidance, lift and coverage are those of the operator of the whole picture, so that
kernels may cross the borders of tiles; the network sees crops of them, and its answers are blended
by the same windows as the prior's (deft.priors.tiles, where C_k and w_k stand; deft.priors.tiled
says what is approximate). An h-transform without a size of its own (PiGDM, DDNM) needs none of
this: it works on a `Tiled` prior as it is.

The network has seen operators that act within a tile. How far an operator reaches is measured: J^T
J d, with J its derivative and d one bright place, is small (1 % of its largest value) further away
than a kernel is wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.applies import made_for
from deft.htransforms.base import HTransform
from deft.htransforms.composed import Wrapped
from deft.htransforms.derivative import typical
from deft.likelihoods import Observation
from deft.operators.base import ForwardOperator
from deft.priors.base import Prior
from deft.priors.denoised import Asked, Denoised
from deft.priors.tiles import Layout, Tiles
from deft.types import Signal, axes_of

_SMALL = 0.01


@runtime_checkable
class ReadsMaps(Protocol):
    """What is asked of an h-transform here: it says what its network reads, as maps of the size of
    the signal, and answers from them alone.
    """

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of the signals that it was made for."""
        ...

    def check_measured(
        self, prior: Prior, observation: Observation, event_shape: Sequence[int]
    ) -> None:
        """Raise `InvalidInput` where it does not apply to this measurement of such signals."""
        ...

    def inputs(self, denoised: Denoised | Asked, observation: Observation) -> dict[str, Signal]:
        """The maps, by name."""
        ...

    def noise(self, observation: Observation, event_shape: Sequence[int]) -> Tensor:
        """The noise in y, as the network reads it: one number per signal, or one for all."""
        ...

    def answer(
        self, inputs: dict[str, Signal], denoised: Denoised | Asked, noise: Tensor
    ) -> Signal:
        """The shift; of `denoised` it may read what belongs to each place, and the levels."""
        ...


@final
class TiledHTransform(Wrapped):
    """A learned h-transform (`LearnedHTransform`, `Calibrated` around one) for pictures of the
    shape `event_shape`.

    `overlap`, `batch` and `layout` are as in `Tiled`; tiles lie where they lay when the prior was
    asked, also where that was at another level. Raises `InvalidInput` for an h-transform that reads
    no maps; `check` also for an operator of signals of another size than the picture's, and for one
    that reaches further than a tile.
    """

    def __init__(
        self,
        h_transform: HTransform,
        event_shape: Sequence[int],
        *,
        overlap: int | None = None,
        batch: int | None = None,
        layout: Layout = "moving",
    ) -> None:
        super().__init__(h_transform)
        if not isinstance(h_transform, ReadsMaps) or not isinstance(
            h_transform.trainable(), ReadsMaps
        ):
            raise InvalidInput(
                "TiledHTransform",
                given=type(h_transform).__name__,
                expected="a learned h-transform that reads maps of its signals: LearnedHTransform, "
                "or Calibrated around one",
                advice="an h-transform without a size of its own works on a Tiled prior as it is",
            )
        self.tiles = Tiles(
            tuple(event_shape), tuple(h_transform.event_shape), overlap, batch, layout
        )
        self.event_shape = self.tiles.event_shape
        self.event_axes = axes_of(self.event_shape)

    @property
    def config(self) -> dict[str, object]:
        """The arguments that build it."""
        return {
            "h_transform": self.h_transform,
            "event_shape": list(self.event_shape),
            "overlap": self.tiles.overlap,
            "layout": self.tiles.layout,
        }

    def check(self, prior: Prior, observation: Observation) -> None:
        made_for(self, self.event_shape, prior)
        takes_whole(observation.operator, self.event_shape)
        self._maps.check_measured(prior, observation, self.event_shape)
        if not len(observation):
            return
        far, tile = reach(prior, observation), self.tiles.tile[1:]
        if any(n >= size for n, size in zip(far, tile)):
            raise InvalidInput(
                f"tiles of {' x '.join(map(str, tile))} for {type(observation.operator).__name__}",
                given=f"an operator that reaches {max(far)} places far",
                expected="one that reaches less far than a tile, as in training",
                advice="use an h-transform without a size of its own (PiGDM), a prior of larger "
                "signals, or a smaller picture",
            )

    def shift(self, denoised: Denoised | Asked, observation: Observation) -> Signal:
        with torch.autocast(denoised.x_t.device.type, enabled=False):
            maps = self._maps.inputs(denoised, observation)
            noise = self._maps.noise(observation, self.event_shape)
        total = torch.zeros_like(denoised.x_0_hat)
        log_snr = denoised.there.log_snr
        for cut in self.tiles.cuts(len(denoised.x_t), denoised.x_t, log_snr):
            part = Denoised(
                cut.of(denoised.x_t),
                cut.each(denoised.t),
                cut.each(denoised.alpha_t),
                cut.each(denoised.sigma_t),
                cut.of(denoised.x_0_hat),
            )
            crops = {name: cut.of(value) for name, value in maps.items()}
            cut.add(total, self._maps.answer(crops, part, cut.each(noise)))
        return total

    @property
    def _maps(self) -> ReadsMaps:
        assert isinstance(self.h_transform, ReadsMaps)
        return self.h_transform


def takes_whole(operator: ForwardOperator, event_shape: Sequence[int]) -> None:
    """Raise `InvalidInput` for an operator of signals of another shape than the whole picture's."""
    known = operator.signal_shape()
    if known is None or (
        len(known) == len(event_shape)
        and all(n is None or n == size for n, size in zip(known, event_shape))
    ):
        return
    raise InvalidInput(
        f"{type(operator).__name__} of a picture in tiles",
        given=f"an operator of signals of the shape {known}",
        expected=f"one of the whole picture, {tuple(event_shape)}",
        advice="make the operator for that size, or fit the picture to the operator's",
    )


def reach(prior: Prior, observation: Observation) -> tuple[int, ...]:
    """How far apart two places are, along each axis, that one measurement sees together; 0 where
    that cannot be known (a black box).
    """
    one, x_0 = typical(prior, observation)
    middle = [n // 2 for n in x_0.shape[2:]]
    bright = torch.zeros_like(x_0[0, 0])
    bright[tuple(middle)] = prior.scale
    moved = x_0 + bright
    with torch.no_grad():
        difference = one.operator(moved) - one.operator(x_0)
    response = one.operator.transposed_derivative(x_0, difference)
    if response is None:
        return (0,) * len(middle)
    size = response[0].detach().abs().sum(0)
    near = (size > _SMALL * size.max()).nonzero()
    if not len(near):
        return (0,) * len(middle)
    return tuple((near - torch.tensor(middle, device=near.device)).abs().amax(0).tolist())
