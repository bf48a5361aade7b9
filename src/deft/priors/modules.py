"""A module of the user's own, told of the noise level in its own way, and its weights from a file.

The table `CONVENTIONS` of deft.priors.edm and deft.priors.flow_matching says what is told.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from deft.errors import InvalidInput
from deft.priors.details import check_all
from deft.storage import weights_only
from deft.types import Signal, Times


@final
class Told(nn.Module):
    """`factor` network(x_t, told(t), ...); what the network returns may hold it as `.sample`.

    The noise level is told in single precision at least, whatever the network computes in.
    """

    def __init__(
        self, network: nn.Module, told: Callable[[Times], Tensor], factor: float = 1.0
    ) -> None:
        super().__init__()
        self.network, self.told, self.factor = network, told, factor

    def forward(self, x_t: Signal, t: Times, **context: Tensor) -> Signal:
        level = self.told(t).to(x_t.device, torch.promote_types(x_t.dtype, torch.float32))
        out: Any = self.network(x_t, level, **context)
        result: Signal = getattr(out, "sample", out)
        return result if self.factor == 1 else self.factor * result


def module(network: object) -> nn.Module:
    """The network as it is. Raises `InvalidInput` for anything but a module."""
    if not isinstance(network, nn.Module):
        raise InvalidInput(
            "network",
            given=type(network).__name__,
            expected="a torch.nn.Module, built in Python: a file of weights does not hold it",
        )
    return network


def filled(path: str | Path, network: nn.Module) -> nn.Module:
    """The network with the weights of a file, all of them and no others.

    Raises `CheckpointError` for a file that is damaged, needs code, or has other weights.
    """
    tensors = weights_only.named(path, weights_only.contents(path))
    wanted = {name: tuple(value.shape) for name, value in module(network).state_dict().items()}
    check_all(path, tensors, wanted, type(network).__name__)
    network.load_state_dict(tensors)
    return network
