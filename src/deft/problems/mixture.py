"""A distribution over problems, and random projections.

k ~ p(k),    y = A_k x_0 + sigma_y eps,    A_k ~ problem k
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.matrix import Matrix
from deft.operators.mixed import Mixed
from deft.problems.base import NoiseLevel, Problem
from deft.storage.cards import card_of
from deft.types import Signal

_KIND, _PART = 11, 12  # streams of a signal's noise


@final
class AnyOf(Problem):
    """Each signal is measured by one of these problems, drawn with equal probability; what an
    h-transform for any linear operator is trained on.

    The operators must be linear. `sigma_y` is that of all, whatever the parts say of theirs.
    Measurements are flat and padded (deft.operators.mixed).
    """

    def __init__(self, problems: Sequence[Problem], sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        for problem in problems:
            if not isinstance(problem, Problem):
                raise InvalidInput(
                    "problems",
                    given=type(problem).__name__,
                    expected="problems, such as Inpainting",
                )
        if not problems:
            raise InvalidInput("problems", given="none", expected="one or more problems")
        self.problems = list(problems)
        self._lengths: dict[tuple[int, ...], int] = {}

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        n = len(self.problems)
        drawn = (noise.stream(_KIND).to("cpu").uniform(0) * n).long().clamp(max=n - 1)
        parts: list[ForwardOperator] = []
        kind, place = torch.zeros_like(drawn), torch.zeros_like(drawn)
        for k, problem in enumerate(self.problems):
            at = (drawn == k).nonzero()[:, 0]
            if not len(at) and (len(drawn) or k):
                continue
            whose, seeds = (x_0[at.to(x_0.device)], noise.take(at)) if len(at) else _one(x_0)
            part = problem.operator(whose, seeds.stream(_PART))
            kind[at] = len(parts)
            place[at] = torch.arange(len(at)) if part.signals > 1 else 0
            parts.append(part)
        return Mixed(parts, kind, place, x_0.shape[1:], self._length(x_0))

    def shared_operator(self, like: Signal) -> ForwardOperator | None:
        return super().shared_operator(like) if len(self.problems) == 1 else None

    def _length(self, x_0: Signal) -> int:
        """The longest measurement of any of the problems, whichever a batch has drawn."""
        shape = tuple(x_0.shape[1:])
        if shape not in self._lengths:
            one, noise = _one(x_0)
            each = [p.operator(one, noise.stream(_PART))(one)[0].numel() for p in self.problems]
            self._lengths[shape] = max(each)
        return self._lengths[shape]

    def card(self) -> dict[str, object]:
        return card_of(
            self,
            {"problems": [p.card() for p in self.problems], "sigma_y": self.sigma_y},
        )


def _one(like: Tensor) -> tuple[Tensor, Noise]:
    """A signal of that shape, and a seed, for what depends on neither."""
    return torch.zeros(1, *like.shape[1:], dtype=like.dtype), Noise([0])


@final
class RandomProjections(Problem):
    """y = A x_0 + sigma_y eps, with the entries of A drawn from N(0, 1 / d), d = the entries of a
    signal.

    `share` is the number of measurements as a share of d. One of `count` matrices measures each
    signal; they are decomposed once, which takes (share d)^2 d operations each.
    """

    def __init__(
        self, share: float = 0.25, count: int = 4, seed: int = 0, sigma_y: NoiseLevel = 0.0
    ) -> None:
        super().__init__(sigma_y)
        self.share = checks.share("share", share, "of measurements, by entries", zero=False)
        self.count = checks.whole("count", count, most=1024, meaning="of matrices")
        self.seed = checks.whole("seed", seed, least=0, meaning="of the matrices")
        self._matrices: dict[tuple[tuple[int, ...], int, torch.dtype], Matrix] = {}

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        which = (noise.to("cpu").uniform(0) * self.count).long().clamp(max=self.count - 1)
        own = sorted(set(which.tolist()))
        shape = tuple(x_0.shape[1:])
        parts = [self._matrix(shape, k, x_0.dtype) for k in own]
        if len(parts) < 2:
            return (parts[0] if parts else self._matrix(shape, 0, x_0.dtype)).repeat(1)
        kind = torch.tensor([own.index(k) for k in which.tolist()])
        return Mixed(parts, kind, torch.zeros_like(kind), shape)

    def _matrix(self, shape: tuple[int, ...], k: int, dtype: torch.dtype) -> Matrix:
        if (shape, k, dtype) not in self._matrices:
            d = torch.Size(shape).numel()
            m = max(round(self.share * d), 1)
            a = Noise([self.seed]).stream(k).normal(0, (m, d))[0] / d**0.5
            self._matrices[shape, k, dtype] = Matrix(a.to(dtype), shape)
        return self._matrices[shape, k, dtype]

    def card(self) -> dict[str, object]:
        names = ("share", "count", "seed", "sigma_y")
        return card_of(self, {name: getattr(self, name) for name in names})
