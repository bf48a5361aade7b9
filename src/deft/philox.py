"""A counter-based random generator in tensor operations: the same integers on every device.

    (x_0, x_1, x_2, x_3) = philox(counter, key)
            four 32-bit words from a counter of four and a key of two

Philox 4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section
3.3. One round takes the 64-bit products p = M_0 c_0 and q = M_1 c_2 and gives (hi q ^ c_1 ^ k_0, lo
q, hi p ^ c_3 ^ k_1, lo p). Ten rounds are taken; between them the key grows by the Weyl constants
W_0 and W_1.

Words are held in int64, which every device multiplies modulo 2^64. Normal draws are those of Box
and Muller, sqrt(-2 log u) (cos, sin)(2 pi v); no float64 is needed for float32 draws.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NAME = "philox4x32-10"

_M_0, _M_1 = 0xD2511F53, 0xCD9E8D57
_W_0, _W_1 = 0x9E3779B9, 0xBB67AE85
_WORD = 0xFFFFFFFF
_ROUNDS = 10


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four words in [0, 2^32) for every counter and key, which broadcast; all are int64 tensors of
    32-bit words.
    """
    c_0, c_1, c_2, c_3 = counter
    k_0, k_1 = key
    for _ in range(_ROUNDS):
        p, q = (
            c_0 * _M_0,
            c_2 * _M_1,
        )  # the upper half of a product may carry the sign: the mask takes it off
        c_0, c_1, c_2, c_3 = _high(q) ^ c_1 ^ k_0, q & _WORD, _high(p) ^ c_3 ^ k_1, p & _WORD
        k_0, k_1 = (k_0 + _W_0) & _WORD, (k_1 + _W_1) & _WORD
    return c_0, c_1, c_2, c_3


def words(keys: Tensor, step: int, kind: int, number: int) -> Tensor:
    """`number` words for each of the keys (samples, 2): (samples, number), a function of (key,
    step, kind, number, place).

    The number is a part of the counter, so that draws of two sizes at one step are independent.
    """
    kind = (2 * number + kind) & _WORD
    blocks = torch.arange((number + 3) // 4, dtype=torch.int64, device=keys.device)[None]
    low, high, kinds = (
        torch.full((1, 1), word, dtype=torch.int64, device=keys.device)
        for word in (step & _WORD, (step >> 32) & _WORD, kind)
    )
    four = philox((blocks, low, high, kinds), (keys[:, :1], keys[:, 1:]))
    return torch.stack(four, -1).flatten(1)[:, :number]


def normal(keys: Tensor, step: int, number: int, dtype: torch.dtype) -> Tensor:
    """Standard normal draws, (samples, number); those of two precisions agree to rounding."""
    pairs = words(keys, step, 0, number + number % 2).unflatten(1, (-1, 2)).to(dtype)
    radius = ((pairs[..., 0] + 0.5) * 2.0**-32).log_().mul_(-2).clamp_(min=0).sqrt_()
    angle = pairs[..., 1] * (2 * math.pi * 2.0**-32)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1).flatten(1)[:, :number]


def uniform(keys: Tensor, step: int, number: int, dtype: torch.dtype) -> Tensor:
    """Uniform draws in [0, 1), (samples, number), of 24 bits: the same in every precision."""
    return (words(keys, step, 1, number) >> 8).to(dtype) * 2.0**-24


def _high(product: Tensor) -> Tensor:
    return (product >> 32) & _WORD
