"""The modes of chains of several lengths in one batch.

S = U diag(v) U^T,    v and U of each length (deft.priors.chain_spectrum), 0 after its end
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from jaxtyping import Float
from torch import Tensor

from deft.priors.chain_spectrum import ChainSpectrum, modes


def padded_modes(
    numbers: tuple[float, ...], lengths: Sequence[int], like: Tensor
) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n n"]]:
    """v and U of a spectrum with these numbers, for chains `like` (batch, n, ...): in their
    precision, on their device.
    """
    n = like.shape[1]
    v, U = like.new_zeros(len(lengths), n), like.new_zeros(len(lengths), n, n)
    for row, length in enumerate(lengths):
        own_v, own_U = _of(numbers, length)
        v[row, : length - 1], U[row, :length, : length - 1] = own_v.to(v), own_U.to(U)
    return v, U


@lru_cache(maxsize=512)
def _of(numbers: tuple[float, ...], length: int) -> tuple[Tensor, Tensor]:
    """The variances of the modes of a chain, and the modes as columns, in double precision."""
    return ChainSpectrum(*numbers).variances(length), modes(length).mT
