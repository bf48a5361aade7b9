"""Networks that are evaluated faster and say the same, but for rounding.

`channels_last` keeps the channels of a place side by side in memory; `compiled` hands a network to
torch.compile, and goes on without where that fails.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any, final

import torch
from torch import nn

from deft.errors import first_line

Say = Callable[[str], object]


def networks_of(owner: nn.Module) -> Iterator[nn.Module]:
    """The networks of a prior or of an h-transform: its parts that have parameters, and those of
    the priors and h-transforms inside.
    """
    for child in owner.children():
        if hasattr(child, "denoise") or hasattr(child, "shift") or isinstance(child, nn.ModuleList):
            yield from networks_of(child)
        elif next(child.parameters(), None) is not None:
            yield child


def channels_last(owner: nn.Module) -> None:
    """Lay out the convolutions of a prior or an h-transform with their channels last; signals
    follow in the first of them.
    """
    for network in networks_of(owner):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def compiled(owner: nn.Module, say: Say = print) -> None:
    """Compile the networks of a prior or an h-transform, each at its first evaluation and for each
    new shape.

    Where that fails (no compiler, a platform without, a graph that cannot be compiled) one line
    says why, and the network is evaluated as it is. Where gradients are followed it is, too.
    """
    for network in networks_of(owner):
        if not isinstance(network.forward, Compiled):
            network.forward = Compiled(network, say)


@final
class Compiled:
    """The forward of a network through torch.compile, until that fails."""

    def __init__(self, network: nn.Module, say: Say) -> None:
        self.name, self.eager, self.say = type(network).__name__, network.forward, say
        self._quick: Callable[..., Any] | None = None
        self._failed = False

    def __call__(self, *args: Any, **named: Any) -> Any:
        if self._failed or torch.is_grad_enabled():
            return self.eager(*args, **named)
        try:
            return self._compiled(*args, **named)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a compiler may say
            result = self.eager(*args, **named)  # a fault of the network's own is raised here
            self._failed = True
            self.say(f"{self.name} runs without torch.compile, which failed: {first_line(error)}")
            return result

    def _compiled(self, *args: Any, **named: Any) -> Any:
        if self._quick is not None:
            return self._quick(*args, **named)
        quick, begin = torch.compile(self.eager), time.perf_counter()
        result = quick(*args, **named)
        self._quick = quick
        self.say(f"{self.name} compiled in {time.perf_counter() - begin:.0f} s")
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        other = copy.copy(self)
        other.eager, other._quick = copy.deepcopy(self.eager, memo), None
        return other
