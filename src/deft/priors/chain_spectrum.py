"""How much a protein chain moves in each of its modes, by length: twelve numbers.

    c_p = sqrt(2 / n) sum_i cos(pi p (i - 1/2) / n) r_i,    p = 1, ..., n - 1,    var c_p = v_p

Cosines are the modes of a chain of beads and springs (Rouse 1953, doi:10.1063/1.1699180), and
natives are nearly stationary along the chain, so that one spectrum serves all lengths. With f = p /
n (half a turn in 1 / f residues) and w = 4 sin^2(pi f / 2), the eigenvalue of the springs,

    v_p(n) = bond / (w + tether)                                a chain of bonds
           + fold / (1 + (w / fold_at)^fold_power)              it turns back after a dozen residues
           + helix exp(-((f - helix_at) / helix_width)^2 / 2)   3.6 residues a turn: f = 0.55
           + whole (n / 100)^whole_growth / (1 + (p / whole_at)^whole_power)    long chains: domains

in square angstrom for each coordinate. `fit` maximises the likelihood of chains,

    sum over chains and modes of -3 log(v_p) / 2 - |c_p|^2 / (2 v_p).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput

_KNOWN = 1 << 14  # the longest chain whose modes are written out


@final
@dataclass(frozen=True)
class ChainSpectrum:
    """v_p(n), the variance of one coordinate of mode p of a chain of n residues.

    The default numbers are those of native chains of 50 to 256 residues (`recipes/fit_chain.py`);
    much longer ones extrapolate. All are positive; variances are in square angstrom.
    """

    bond: float = 2.52
    tether: float = 0.365
    fold: float = 803.0
    fold_at: float = 0.0524
    fold_power: float = 2.52
    helix: float = 3.36
    helix_at: float = 0.541
    helix_width: float = 0.0455
    whole: float = 699.0
    whole_growth: float = 3.43
    whole_at: float = 1.49
    whole_power: float = 3.16

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            checks.positive(name, value, "a number of the spectrum of a chain")

    def variances(self, length: int) -> Float[Tensor, " modes"]:
        """v_p(n) of the n - 1 modes of a chain of n residues, in double precision."""
        p = torch.arange(1, length, dtype=torch.float64)
        numbers = torch.tensor(astuple(self), dtype=torch.float64)
        return _variances(numbers, torch.full_like(p, length), p)

    @classmethod
    def fit(cls, chains: Sequence[Float[Tensor, "_ 3"]]) -> ChainSpectrum:
        """The spectrum under which chains (residues, 3) in angstrom, wherever they are and however
        they are turned, are most likely; of at least 20 chains of 16 residues or more.
        """
        squares: dict[int, list[Tensor]] = defaultdict(list)
        for i, chain in enumerate(chains):
            if chain.ndim != 2 or chain.shape[1] != 3 or not bool(chain.isfinite().all()):
                raise InvalidInput(
                    "chains",
                    given=f"chain {i} of shape {tuple(chain.shape)}",
                    expected="finite coordinates (residues, 3) in angstrom",
                )
            if len(chain) >= 16:
                squares[len(chain)].append((modes(len(chain)) @ chain.double()).square().mean(1))
        count = sum(map(len, squares.values()))
        if count < 20:
            raise InvalidInput(
                "chains",
                given=f"{count} of 16 residues or more",
                expected="at least 20, from which twelve numbers can be fitted",
            )
        return cls(*_most_likely(squares))


def _variances(
    numbers: Float[Tensor, " twelve"], n: Float[Tensor, " modes"], p: Float[Tensor, " modes"]
) -> Float[Tensor, " modes"]:
    (
        bond, tether, fold, fold_at, fold_power,
        helix, helix_at, helix_width,
        whole, whole_growth, whole_at, whole_power,
    ) = numbers  # fmt: skip
    f = p / n
    w = 4 * (math.pi * f / 2).sin() ** 2
    result: Tensor = (
        bond / (w + tether)
        + fold / (1 + (w / fold_at) ** fold_power)
        + helix * (-0.5 * ((f - helix_at) / helix_width) ** 2).exp()
        + whole * (n / 100) ** whole_growth / (1 + (p / whole_at) ** whole_power)
    )
    return result


def _most_likely(squares: dict[int, list[Tensor]]) -> list[float]:
    """The numbers that maximise the likelihood, by L-BFGS in their logarithms from the defaults."""
    p = torch.cat([torch.arange(1, n, dtype=torch.float64) for n in squares])
    n = torch.cat([torch.full((n - 1,), float(n), dtype=torch.float64) for n in squares])
    mean = torch.cat([torch.stack(found).mean(0) for found in squares.values()])
    weight = torch.cat([torch.full((n - 1,), float(len(k))) for n, k in squares.items()])
    weight = weight.double() / weight.sum()
    start = torch.tensor(astuple(ChainSpectrum()), dtype=torch.float64).log()
    with torch.inference_mode(False), torch.enable_grad():
        logs = start.clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [logs], max_iter=500, history_size=30, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            v = _variances(logs.exp(), n, p)
            prior = 1e-6 * (logs - start).square().sum()  # for what chains say nothing of
            value: Tensor = (weight * (v.log() + mean / v)).sum() + prior
            value.backward()
            return value

        optimizer.step(loss)
    return logs.detach().exp().tolist()


@lru_cache(maxsize=512)
def modes(length: int) -> Float[Tensor, "modes residues"]:
    """The cosines of a chain of n residues, one orthonormal row for each p = 1, ..., n - 1; a
    constant, p = 0, is orthogonal to all.
    """
    length = checks.whole("length", length, 2, _KNOWN, "the residues of a chain")
    places = torch.arange(length, dtype=torch.float64) + 0.5
    p = torch.arange(1, length, dtype=torch.float64)[:, None]
    return math.sqrt(2 / length) * (math.pi * p * places / length).cos()
