"""Priors of protein backbones: C-alpha traces of several lengths, in angstrom.

    x = (r_1, ..., r_n, 0, ..., 0),    r_i the C-alpha atom of residue i,    (places, 3)

A mask says which residues exist: the first n places. Noise has none elsewhere, and an estimate is 0
there. A prior of centred chains lives where their mean is 0,

    P x = r_i - (1/n) sum_j r_j on the residues that exist,    3 (n - 1) dimensions,

and its noise, its first state and its estimates are projected there. Noise is drawn for
`max_length` places and then cut, so that a design depends on its seed and its own length alone.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deft.checks import whole
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.context import Context
from deft.types import Axes, Signal, Times

EXISTS = "`mask` is True for the first residues of a chain and False after its last"


class BackbonePrior(Prior):
    """A prior of C-alpha traces x, (batch, places, 3) in angstrom; a subclass implements
    `estimate`.

    `given(mask=...)`, (n, places) or (places,), says which residues exist; without it a chain has
    `max_length` of them. A mask of fewer places makes the event as short, so that short chains cost
    less, unless the network is `padded`. Where the prior is `centred` the mean over the residues of
    x_0 and of noise is 0. `scale` is the standard deviation of one coordinate, in angstrom.
    """

    takes = ("mask",)
    centred: bool = True
    padded: bool = False
    min_length: int = 2

    def __init__(self, max_length: int) -> None:
        super().__init__()
        self.max_length = whole("max_length", max_length, self.min_length, 1 << 14)
        self.event_shape = (self.max_length, 3)

    @abstractmethod
    def estimate(self, x_t: Signal, t: Times, mask: Bool[Tensor, "batch places"]) -> Signal:
        """E[x_0 | x_t] of chains whose residues `mask` says. x_t is 0 elsewhere, and centred where
        the prior is; what is returned there is not looked at.
        """

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        mask = self.mask_for(x_t)
        return self.projected(self.estimate(self.projected(x_t, mask), t, mask), mask)

    def projected(
        self, x: Float[Tensor, "batch *draws places 3"], mask: Bool[Tensor, "#batch places"]
    ) -> Float[Tensor, "batch *draws places 3"]:
        """x with 0 where there is no residue, and with mean 0 where the prior is centred."""
        exists = mask.reshape(len(mask), *(1,) * (x.ndim - 3), mask.shape[1], 1)
        x = torch.where(exists, x, 0.0)
        if not self.centred:
            return x
        centre = x.sum(-2, keepdim=True) / exists.sum(-2, keepdim=True)
        return torch.where(exists, x - centre, 0.0)

    @property
    def event_axes(self) -> Axes:
        return "cloud"

    @property
    def mask(self) -> Bool[Tensor, "n places"]:
        """Which residues exist: of each chain that the prior is told of, or of all chains."""
        full = torch.ones(1, self.event_shape[0], dtype=torch.bool, device=self.device)
        return self.context.values.get("mask", full).to(self.device)

    def mask_for(self, x: Float[Tensor, "batch *draws places 3"]) -> Bool[Tensor, "batch places"]:
        """The mask of each of these chains, on their device. Raises `InvalidInput` for chains of
        another number of places.
        """
        if x.shape[-2:] != self.event_shape:
            raise InvalidInput(
                "x_t",
                given=f"chains of shape {tuple(x.shape[-2:])}",
                expected=f"{self.event_shape}, as the mask of {self.name} says",
                advice="give the prior the mask of these chains: prior.given(mask=...)",
            )
        told = self.told(x)
        full = torch.ones(1, self.event_shape[0], dtype=torch.bool, device=x.device)
        return told.get("mask", full.expand(len(x), -1))

    @property
    def lengths(self) -> Int[Tensor, " n"]:
        """How many residues each chain has that the prior is told of, or all chains."""
        return self.mask.sum(1)

    @property
    def dimensions(self) -> Tensor:
        return 3 * (self.lengths - 1 if self.centred else self.lengths)

    def of_length(self, *lengths: int) -> Self:
        """The prior of chains of these lengths, one each; of one length it is for all."""
        if not lengths:
            raise InvalidInput("lengths", given="none", expected="one length or more")
        for length in lengths:
            if not self.min_length <= whole("length", length, least=1) <= self.max_length:
                raise self._other_length("length", length)
        places = torch.arange(max(lengths), device=self.device)
        return self.given(mask=places < torch.tensor(lengths, device=self.device)[:, None])

    def checked_context(self, name: str, value: Tensor) -> Tensor:
        shape = tuple(value.shape)
        if value.dtype != torch.bool or len(shape) not in (1, 2) or 0 in shape:
            raise InvalidInput(
                "mask",
                given=f"{str(value.dtype).removeprefix('torch.')} of shape {shape}",
                expected="booleans (chains, places) or (places,), True where a residue exists",
                advice=f"{EXISTS}; prior.of_length(70, 85) makes one",
            )
        mask = value if value.ndim == 2 else value[None]
        if shape[-1] > self.max_length:
            raise self._other_length("mask", shape[-1])
        for i, length in enumerate(mask.sum(1).tolist()):
            if not bool(mask[i, :length].all()):
                gap = int(mask[i].logical_not().nonzero()[0, 0])
                raise InvalidInput(
                    "mask",
                    given=f"chain {i} with no residue at place {gap} and one after it",
                    expected="chains without gaps",
                    advice=f"{EXISTS}; a chain break is no place without a residue",
                )
            if length < self.min_length:
                raise self._other_length("mask", length)
        missing = self.max_length - shape[-1] if self.padded else 0
        return torch.nn.functional.pad(mask, (0, missing))

    def _other_length(self, what: str, length: int) -> InvalidInput:
        return InvalidInput(
            what,
            given=f"{length} residues",
            expected=f"chains of {self.min_length} to {self.max_length} residues, for {self.name}",
            advice="use a prior of longer chains, or split the chain"
            if length > self.max_length
            else "",
        )

    def _with(self, context: Context) -> Self:
        other = super()._with(context)
        mask = context.values.get("mask")
        other.event_shape = (self.max_length if mask is None else mask.shape[1], 3)
        return other

    def identity(self) -> dict[str, object]:
        """That of the prior of all lengths."""
        return {**super().identity(), "event_shape": [self.max_length, 3]}

    def noise(self, noise: Noise, step: int, draws: int | None = None) -> Signal:
        shape = (self.max_length, 3) if draws is None else (draws, self.max_length, 3)
        drawn = noise.normal(step, shape)[..., : self.event_shape[0], :]
        return self.projected(drawn, self.mask_for(drawn))
