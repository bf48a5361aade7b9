"""What a prior is told beside x_t: labels, prompt embeddings, masks, for all signals or for each.

E[x_0 | x_t, c]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.types import as_index


@final
@dataclass(frozen=True)
class Context:
    """Tensors by name, whose first axis runs over the signals; of length 1 they are for all.

    Raises `InvalidInput` where two of them are for different numbers of signals.
    """

    values: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            if not isinstance(value, Tensor) or not value.ndim:
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise InvalidInput(
                    name, given=shape, expected="a tensor with one entry per signal, or one for all"
                )
        several = {name: len(value) for name, value in self.values.items() if len(value) != 1}
        if len(set(several.values())) > 1:
            given = ", ".join(f"{name} for {n} signals" for name, n in several.items())
            raise InvalidInput(
                "the context of a prior", given=given, expected="as many of each, or one for all"
            )

    def __len__(self) -> int:
        """How many signals it is for; 1 where it is for all, or empty."""
        return next((len(value) for value in self.values.values() if len(value) != 1), 1)

    def take(self, index: Sequence[int] | Tensor) -> Context:
        """The context of the signals `index`."""
        if len(self) == 1:
            return self
        places = as_index(index)
        return Context(
            {
                name: value if len(value) == 1 else value[places.to(value.device)]
                for name, value in self.values.items()
            }
        )

    def given(self, more: Mapping[str, Tensor]) -> Context:
        """The same with more, or other, values."""
        return Context({**self.values, **more})

    def for_signals(self, count: int, device: torch.device, prior: str) -> dict[str, Tensor]:
        """The values, one for each of `count` signals. Raises `InvalidInput` for another number."""
        for name, value in self.values.items():
            if len(value) not in (1, count):
                raise InvalidInput(
                    f"{prior}: {name}",
                    given=f"{len(value)} for {count} signals",
                    expected="one for each signal, or one for all",
                    advice="training draws batches of other signals each time: give one for all",
                )
        return {
            name: value.to(device).expand(count, *value.shape[1:])
            for name, value in self.values.items()
        }
