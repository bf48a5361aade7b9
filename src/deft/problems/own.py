"""Problems around what a user brings: an operator, or a function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.operators.callable import CallableOperator
from deft.problems.base import NoiseLevel, Problem
from deft.storage import cards
from deft.storage.cards import card_of
from deft.storage.fingerprint import of_named
from deft.storage.table import recorded
from deft.types import Signal


@final
class Fixed(Problem):
    """One operator for all signals, or one with parameters for each of so many: a user's own.

    Its card says which class, for how many signals and, by a hash of its settings and tensors,
    which one; `from_card` cannot rebuild it.
    """

    def __init__(self, operator: ForwardOperator, sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        if not isinstance(operator, ForwardOperator):
            advice = "wrap a function in deft.operators.CallableOperator, a physics by from_deepinv"
            raise InvalidInput(
                "operator",
                given=type(operator).__name__,
                expected="a deft.operators.ForwardOperator",
                advice=advice,
            )
        self._operator = operator

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        if self._operator.signals not in (1, len(x_0)):
            raise InvalidInput(
                f"this {type(self._operator).__name__} has parameters for "
                f"{self._operator.signals} signals, each its own, and {len(x_0)} are to be "
                "measured; give as many, or an operator that all share."
            )
        return self._operator.repeat(
            1
        )  # a copy: moving an observation to another device leaves this one where it is

    def card(self) -> dict[str, object]:
        operator = self._operator
        return card_of(
            self,
            {
                "operator": recorded(type(operator)),
                "signals": operator.signals,
                "fingerprint": _fingerprint(operator),
                "sigma_y": self.sigma_y,
            },
        )


@final
class BlackBox(Problem):
    """y = f(x_0) + sigma_y eps, for a function of the user's own, given by its dotted path
    (`my_module.measure`).

    `lift`, the dotted path of a rough reconstruction from y, is needed unless torch can
    differentiate f and `differentiable` says so. `parameters` is the path of a function (x_0,
    noise) that draws what differs per signal: a tensor or a tuple of tensors, handed to f and lift
    after their first argument. Only functions written in Python are called.
    """

    def __init__(
        self,
        function: str,
        lift: str | None = None,
        differentiable: bool = False,
        parameters: str | None = None,
        sigma_y: NoiseLevel = 0.0,
    ) -> None:
        super().__init__(sigma_y)
        self.function, self.lift, self.differentiable, self.parameters = (
            function,
            lift,
            differentiable,
            parameters,
        )
        self._function, self._lift = (
            cards.function(function),
            None if lift is None else cards.function(lift),
        )
        self._draw = None if parameters is None else cards.function(parameters)
        self._operator((), ())  # says what is missing

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        drawn = () if self._draw is None else self._draw(x_0, noise)
        return self._operator(x_0.shape[1:], (drawn,) if isinstance(drawn, Tensor) else drawn)

    def _operator(
        self, event_shape: Sequence[int], parameters: Sequence[Tensor]
    ) -> CallableOperator:
        return CallableOperator(
            self._function,
            event_shape,
            lift=self._lift,
            differentiable=self.differentiable,
            parameters=parameters,
            name=self.function,
        )

    def card(self) -> dict[str, object]:
        names = ("function", "lift", "differentiable", "parameters", "sigma_y")
        return card_of(self, {name: getattr(self, name) for name in names})


def _fingerprint(operator: ForwardOperator) -> str:
    """A hash of an operator: its classes, plain settings and tensors in half precision; names that
    begin with _ are derived and do not count.
    """
    start = ""
    for name, part in operator.named_modules():
        settings = {
            key: value
            for key, value in sorted(vars(part).items())
            if key[0] != "_" and key != "training" and _is_plain(value)
        }
        start += f"{name} {recorded(type(part))} {settings}"
    values = {
        name: value
        for name, value in [*operator.named_parameters(), *operator.named_buffers()]
        if name.rpartition(".")[2][0] != "_"
    }
    return of_named(values, start=start, between=" ")


def _is_plain(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
