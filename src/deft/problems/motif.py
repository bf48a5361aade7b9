"""Motif scaffolding: a part of each chain is seen, up to a rigid motion.

    y_k = R_g x_0[index_k] + c_g + sigma_y eps,    g = group_k

For training the motif is drawn from the chain itself, so that every chain is its own scaffold: one
piece of `contiguous` residues, or with the probability `share` several islands, which are one rigid
body or, half of the time, each its own. A motif is at most three quarters of its chain. Places
without a residue, at the end, are zero in x_0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast, final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.geometry import rotations
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.operators import motif
from deft.operators.base import ForwardOperator
from deft.problems.base import NoiseLevel, Problem
from deft.storage.cards import card_of
from deft.types import Signal

_SIZES, _KEYS, _TURNS = 11, 12, 13  # streams of a signal's noise
_MOST_RESIDUES, _MOST_ISLANDS = 512, 16
_LARGEST = 0.75  # of a chain
_OWN = 3  # residues of an island that is a rigid body of its own: fewer have no shape


@final
class MotifScaffolding(Problem):
    """Motifs of chains, (places, 3) in angstrom, drawn for each signal.

    `contiguous` is (fewest, most) residues of a motif in one piece, `islands` the fewest and the
    most pieces of another and `island` the residues of each; all are drawn uniformly, and so is
    where they stand. `sigma_y` is in angstrom. In the frame "aligned" each rigid body of y comes
    centred and turned at random, so that nothing can be learned from where it came; in the frame
    "fixed" y is in the chain's own.
    """

    def __init__(
        self,
        contiguous: tuple[int, int] = (8, 24),
        islands: tuple[int, int] = (2, 4),
        island: tuple[int, int] = (1, 20),
        share: float = 0.3,
        frame: str = "aligned",
        sigma_y: NoiseLevel = 0.1,
    ) -> None:
        super().__init__(sigma_y)
        self.contiguous = _ends("contiguous", contiguous, _MOST_RESIDUES, "residues of a motif")
        self.islands = _ends("islands", islands, _MOST_ISLANDS, "pieces of a motif")
        self.island = _ends("island", island, _MOST_RESIDUES, "residues of a piece")
        self.share = checks.share("share", share, "of motifs in several pieces")
        self.frame = checks.name("frame", frame, motif.FRAMES)

    @property
    def most(self) -> int:
        """The most residues of a motif."""
        return max(self.contiguous[1], self.islands[1] * max(self.island[1], _OWN))

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        if x_0.ndim != 3 or x_0.shape[-1] != 3:
            raise InvalidInput(
                "the signals of MotifScaffolding",
                given=f"the shape {tuple(x_0.shape)}",
                expected="(batch, places, 3), C-alpha atoms in angstrom",
                advice="use a prior of protein backbones",
            )
        length = x_0.shape[1]
        rows = self.most if self.frame == "aligned" else min(self.most, length)
        sizes = noise.to("cpu", torch.float64).stream(_SIZES).uniform(0, (self.islands[1] + 3,))
        keys = noise.to("cpu", torch.float64).stream(_KEYS).uniform(0, (self.islands[1],))
        index = torch.full((len(x_0), rows), -1)
        group = torch.full((len(x_0), rows), -1)
        for i, n in enumerate(lengths_of(x_0).tolist()):
            pieces, own = self._pieces(sizes[i].tolist(), n)
            places = [
                (start + k, piece * own)
                for piece, start in enumerate(placed(pieces, n, keys[i].tolist()))
                for k in range(pieces[piece])
            ]
            index[i, : len(places)], group[i, : len(places)] = torch.tensor(places).T
        return motif.Motif(index, group, length, self.frame)

    def draw(self, x_0: Signal, noise: Noise) -> Observation:
        observation = super().draw(x_0, noise)
        if self.frame == "fixed":
            return observation
        found = cast(motif.AlignedMotif, observation.operator)
        return replace(observation, y=found.turned(observation.y, self._turns(x_0, noise, found)))

    def card(self) -> dict[str, object]:
        names = ("contiguous", "islands", "island", "share", "frame", "sigma_y")
        return card_of(self, {name: getattr(self, name) for name in names})

    def _pieces(self, u: list[float], n: int) -> tuple[list[int], bool]:
        """How long the pieces of a motif are, and whether each is a rigid body of its own; of a
        chain of n residues.
        """
        most = max(int(_LARGEST * n), 1)
        if u[0] >= self.share:
            return [min(_whole(self.contiguous, u[1]), most)], False
        own = u[1] < 0.5
        count = min(_whole(self.islands, u[2]), most)
        sizes = [max(_whole(self.island, v), _OWN if own else 1) for v in u[3 : 3 + count]]
        while sum(sizes) + len(sizes) - 1 > most and len(sizes) > 1:
            sizes.pop()  # a chain that is too short for so many
        return [min(sizes[0], most), *sizes[1:]], own

    def _turns(self, x_0: Signal, noise: Noise, found: motif.AlignedMotif) -> Tensor:
        """A rotation for each group of each signal."""
        normal = noise.to(x_0.device, x_0.dtype).stream(_TURNS).normal(0, (self.islands[1], 4))
        return rotations(normal)[:, : found.groups]


def lengths_of(x_0: Signal) -> Tensor:
    """How many residues each chain has: up to the last place that is not zero."""
    places = torch.arange(1, x_0.shape[1] + 1, device=x_0.device)
    return torch.where((x_0 != 0).any(-1), places, 0).amax(1)


def placed(sizes: list[int], n: int, u: list[float]) -> list[int]:
    """Where pieces of these sizes begin in a chain of n residues, at least one apart: uniform over
    all ways for u that are uniform in [0, 1).
    """
    slots = n - sum(sizes) + 1  # the residues that are left, one less between two pieces
    chosen: list[int] = []
    for k in range(len(sizes)):
        slot = int(u[k] * (slots - k))  # of those that are free
        for other in sorted(chosen):
            slot += slot >= other
        chosen.append(slot)
    before = [sum(sizes[:k]) for k in range(len(sizes))]
    return [slot + taken for slot, taken in zip(sorted(chosen), before, strict=True)]


def _whole(ends: tuple[int, int], u: float) -> int:
    """A whole number between both ends, for u in [0, 1)."""
    return ends[0] + int(u * (ends[1] - ends[0] + 1))


def _ends(name: str, value: tuple[int, int], most: int, meaning: str) -> tuple[int, int]:
    expected = f"(fewest, most) {meaning}, 1 <= fewest <= most <= {most}"
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InvalidInput(name, given=value, expected=expected)
    low, high = (checks.whole(name, end, most=most, meaning=meaning) for end in value)
    if low > high:
        raise InvalidInput(name, given=value, expected=expected)
    return low, high
