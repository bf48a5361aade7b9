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
        p, q = c_0 * _M_0, c_2 * _M_1
        c_0, c_2 = _mixed(q, c_1, k_0), _mixed(p, c_3, k_1)
        c_1, c_3 = q, p  # their lower halves: the upper ones are masked when they are next used
        k_0, k_1 = (k_0 + _W_0) & _WORD, (k_1 + _W_1) & _WORD
    return c_0, c_1 & _WORD, c_2, c_3 & _WORD


def _mixed(product: Tensor, word: Tensor, key: Tensor) -> Tensor:
    """hi ^ word ^ key; the upper half of a product may carry the sign, which the mask takes off."""
    high = product >> 32
    high = high.bitwise_xor_(word) if high.shape == word.shape else high ^ word
    high = high.bitwise_xor_(key) if high.shape[:1] == key.shape[:1] else high ^ key
    return high.bitwise_and_(_WORD)


def words(keys: Tensor, step: int, kind: int, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """At least `number` words for each of the keys (samples, 2), every fourth in one of four
    tensors (samples, blocks): a function of (key, step, kind, number, place).

    The number is a part of the counter, so that draws of two sizes at one step are independent.
    """
    blocks = torch.arange((number + 3) // 4, dtype=torch.int64, device=keys.device)[None]
    low, high, kinds = (
        torch.full((1, 1), word & _WORD, dtype=torch.int64, device=keys.device)
        for word in (step, step >> 32, 2 * number + kind)
    )
    return philox((blocks, low, high, kinds), (keys[:, :1], keys[:, 1:]))


def normal(keys: Tensor, step: int, number: int, dtype: torch.dtype) -> Tensor:
    """Standard normal draws, (samples, number); those of two precisions agree to rounding."""
    drawn = []
    w_0, w_1, w_2, w_3 = words(keys, step, 0, number + number % 2)
    for u, v in ((w_0, w_1), (w_2, w_3)):
        radius = u.to(dtype).add_(0.5).mul_(2.0**-32).log_().mul_(-2).clamp_(min=0).sqrt_()
        angle = v.to(dtype).mul_(2 * math.pi * 2.0**-32)
        drawn += [radius * angle.cos(), angle.sin_().mul_(radius)]
    return torch.stack(drawn, -1).flatten(1)[:, :number]


def uniform(keys: Tensor, step: int, number: int, dtype: torch.dtype) -> Tensor:
    """Uniform draws in [0, 1), (samples, number), of 24 bits: the same in every precision."""
    drawn = [(word >> 8).to(dtype).mul_(2.0**-24) for word in words(keys, step, 1, number)]
    return torch.stack(drawn, -1).flatten(1)[:, :number]
