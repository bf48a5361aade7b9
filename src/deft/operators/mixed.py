"""Signals of one batch that are measured in different ways: each by a linear operator of its own
kind.

    A = A_k(i) for signal i,    y_i = (A_k(i) x_i, 0, ..., 0)

A measurement is flat, and padded with zeros to the longest one; what is padded is no measurement.
Every entry is asked of each kind once, with the signals of that kind together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deft import checks
from deft.errors import InvalidInput
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.checked import Shape
from deft.operators.parameters import event_shape_of
from deft.types import Mask, Measurement, Signal, Times, expand

_Each = Callable[[int, LinearOperator, list[Tensor]], Tensor]


@final
class Mixed(LinearOperator):
    """`parts` are the operators, of any linear kind; `kind` says which part measures each signal,
    `place` which of the part's own parameters are that signal's (0 where it has one for all).
    `length` is that of a padded measurement, by default the longest of these parts.
    """

    kind: Tensor
    place: Tensor

    def __init__(
        self,
        parts: Sequence[ForwardOperator],
        kind: Tensor,
        place: Tensor,
        event_shape: Sequence[int],
        length: int | None = None,
    ) -> None:
        super().__init__()
        for part in parts:
            if not isinstance(part, LinearOperator):
                raise InvalidInput(
                    "parts",
                    given=f"{type(part).__name__}, which is not linear",
                    expected="LinearOperators",
                    advice="train an h-transform for this operator alone",
                )
        if not parts:
            raise InvalidInput("parts", given="none", expected="one or more LinearOperators")
        if kind.shape != place.shape or kind.ndim != 1:
            raise InvalidInput(
                "kind and place",
                given=f"the shapes {tuple(kind.shape)} and {tuple(place.shape)}",
                expected="one whole number for each signal, in both",
            )
        self.event_shape = event_shape_of(event_shape)
        self._parts = nn.ModuleList(parts)
        self._shapes = [self._measured(part) for part in parts]
        longest = max(math.prod(shape) for shape in self._shapes)
        self.length = checks.whole(
            "length", length or longest, least=longest, meaning="of the longest measurement"
        )
        self.per_signal("kind", kind.long())
        self.per_signal("place", place.long())

    def _measured(self, part: ForwardOperator) -> tuple[int, ...]:
        """The shape of a measurement of this part."""
        assert self.event_shape is not None
        tensor = next((b for b in part.buffers() if b.is_floating_point()), torch.empty(0))
        one = torch.zeros(1, *self.event_shape, dtype=tensor.dtype, device=tensor.device)
        return tuple(part.take([0])(one).shape[1:])

    def measurement_shape(self) -> Shape:
        return (self.length,)

    @property
    def signals(self) -> int:
        return len(self.kind)

    def _each(self, of: _Each, *given: Tensor, flat: bool = False) -> Tensor:
        """What each part says of its own signals, in the order of all; `flat` pads measurements.
        What is one number for all signals passes as it is.
        """
        n = len(given[0])
        kind, place = (
            value.expand(n) if len(value) == 1 else value for value in (self.kind, self.place)
        )
        rows, found = [], []
        for k, part in enumerate(self._parts):
            at = (kind == k).nonzero()[:, 0]
            if not len(at) and (n or k):
                continue
            own: LinearOperator = part.take(place[at])  # type: ignore[operator]
            answer = of(k, own, [x[at] if len(x) == n else x for x in given])
            if flat:
                answer = answer.flatten(1)
                answer = F.pad(answer, (0, self.length - answer.shape[1]))
            rows.append(at)
            found.append(answer)
        return torch.cat(found)[torch.cat(rows).argsort()]

    def _cut(self, k: int, y: Tensor) -> Tensor:
        """Measurements of part k without what is padded."""
        return y[:, : math.prod(self._shapes[k])].reshape(len(y), *self._shapes[k])

    def forward(self, x_0: Signal) -> Measurement:
        return self._each(lambda k, part, x: part(x[0]), x_0, flat=True)

    def linear(self, x_0: Signal) -> Measurement:
        return self._each(lambda k, part, x: part.linear(x[0]), x_0, flat=True)

    def adjoint(self, y: Measurement) -> Signal:
        return self._each(lambda k, part, v: part.adjoint(self._cut(k, v[0])), y)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """Where nothing is measured, v / s2; at s2 = 0 that part is left out."""
        s2 = torch.as_tensor(s2)

        def one(k: int, part: LinearOperator, given: list[Tensor]) -> Tensor:
            solved = part.solve(self._cut(k, given[0]), *given[1:]).flatten(1)
            noise = expand(given[2], solved)
            rest = given[0][:, solved.shape[1] :] / torch.where(noise > 0, noise, torch.inf)
            return torch.cat([solved, rest], dim=1)

        return self._each(one, v, torch.as_tensor(r2), s2, flat=True)

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        return self._each(
            lambda k, part, of: part.pull(of[0], self._cut(k, of[1]), *of[2:]),
            x_0,
            residual,
            torch.as_tensor(r2),
            torch.as_tensor(s2),
        )

    def pseudo_inverse(self, y: Measurement) -> Signal:
        return self._each(lambda k, part, v: part.pseudo_inverse(self._cut(k, v[0])), y)

    def lift(self, y: Measurement) -> Signal:
        return self._each(lambda k, part, v: part.lift(self._cut(k, v[0])), y)

    def coverage(self, like: Signal) -> Mask:
        return self._each(lambda k, part, x: part.coverage(x[0]), like)

    def observed(self, y: Measurement) -> Measurement:
        return self._each(lambda k, part, v: part.observed(self._cut(k, v[0])), y, flat=True)

    def count(self, y: Measurement) -> Tensor:
        return self._each(lambda k, part, v: part.count(self._cut(k, v[0])), y)
