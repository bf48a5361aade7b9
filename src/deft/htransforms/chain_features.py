"""What the learned h-transform of backbones reads of a chain and its motif, as invariant features.

    of residues   whether the motif has it, R_i^T b_i, what the motif still lacks, and lacked,
                  R_i^T eps_hat_i
    of pairs      whether both are of one motif group, and then the distances d_y of the group and
                  d_y - d; where the placed motif lies, as every residue sees it, R_i^T (placed_j -
                  p_i)

with p the chain as b has left it, R_i its frames (deft.networks.frames), d its distances, and b the
shift that moved it. Nothing depends on the frame of the motif.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from deft.networks.frames import frames, radial
from deft.networks.pairs import Pairs
from deft.operators.motif import AlignedMotif, FixedMotif
from deft.priors.denoised import Asked, Denoised
from deft.types import Signal

_CENTRES = (3.0, 5.0, 7.0, 10.0, 14.0, 19.0, 26.0, 36.0)
SINGLES, PAIRS = 16, 1 + len(_CENTRES) + 2 + 4


def features(
    denoised: Denoised | Asked,
    operator: AlignedMotif | FixedMotif,
    chain: Signal,
    start: Signal,
    lacking: Signal,
    exists: Bool[Tensor, "batch n"],
    over: Pairs,
) -> tuple[Tensor, Tensor]:
    """What a network reads of the residues, (batch, n, SINGLES), and of the pairs, (batch, n, k,
    PAIRS): `chain` is x_0_hat moved by `start`, and `lacking` what the motif lacks of x_0_hat.
    """
    x_0_hat = denoised.x_0_hat
    axes, seen = frames(chain, exists), operator.coverage(x_0_hat)
    placed = seen * (x_0_hat + lacking)
    still = seen * (placed - chain)
    eps_hat = (denoised.x_t - denoised.alpha_t * x_0_hat) / denoised.sigma_t

    vectors = torch.stack([start, still, lacking], dim=2)  # (b, n, 3 vectors, 3)
    long = _lengths(vectors)
    told = torch.cat([vectors @ axes / (long + 1), (long + 0.1).log()], dim=-1)
    told = torch.cat([told[:, :, :1], told[:, :, 1:] * seen[..., None]], dim=2)
    eps = (axes.mT @ eps_hat[..., None])[..., 0]
    groups = operator.scattered((operator.group + 1.0)[..., None].expand(-1, -1, 3).to(chain))
    group = groups[..., :1].expand(len(chain), -1, -1)
    there = over.other(torch.cat([group, seen.expand_as(group), placed, chain], dim=-1))
    same = ((there[..., :1] == group[:, :, None]) & (group > 0)[:, :, None]).to(chain)
    own = torch.stack([placed, chain, chain], dim=2)[:, :, None]
    apart = torch.stack([there[..., 2:5], there[..., 5:], there[..., 2:5]], dim=-2) - own
    d_y, d, far = _lengths(apart).unbind(-2)  # of the motif, of the chain, from one to other
    off = d_y - d
    centres = torch.tensor(_CENTRES, dtype=chain.dtype, device=chain.device)
    pairs = [
        same,
        radial(d_y[..., 0], centres) * same,
        torch.cat([off.tanh(), (off / 5).tanh()], dim=-1) * same,
        torch.cat([apart[..., 2, :] @ axes / (far + 1), 1 / (far + 1)], -1) * there[..., 1:2],
    ]
    singles = [seen.expand_as(group), told.flatten(2), eps]
    return torch.cat(singles, dim=-1), torch.cat(pairs, dim=-1)


def _lengths(v: Tensor) -> Tensor:
    return (v.square().sum(-1, keepdim=True) + 1e-6).sqrt()
