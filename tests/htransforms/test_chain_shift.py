"""A chain that is told of a motif and of its bonds: the dense Gaussian posterior, and what a bond's
mean says of its length.
"""

import pytest
import torch

from deft.htransforms.chain_shift import _SLACK, _TAU, BOND, Bonds, told

DOUBLE = torch.float64
N = 9


def walk(batch=2, n=N, seed=0, length=BOND):
    """Chains whose bonds have a length, and a covariance of their residues."""
    g = torch.Generator().manual_seed(seed)
    b = torch.randn(batch, n - 1, 3, generator=g, dtype=DOUBLE)
    x = (length * b / b.norm(dim=-1, keepdim=True)).cumsum(1)
    root = torch.randn(batch, n, n, generator=g, dtype=DOUBLE)
    return torch.cat([torch.zeros(batch, 1, 3, dtype=DOUBLE), x], 1), root @ root.mT / n


def motif(batch=2, n=N, places=(2, 3, 6), seed=1):
    """Where residues are seen, and what they lack."""
    seen = torch.zeros(batch, n, 1, dtype=DOUBLE)
    seen[:, list(places)] = 1
    g = torch.Generator().manual_seed(seed)
    return seen, seen * torch.randn(batch, n, 3, generator=g, dtype=DOUBLE)


def everywhere(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


@pytest.mark.parametrize("length", [BOND, 3.0])
def test_it_is_the_dense_posterior_of_motif_and_bonds(length):
    """The mean of N(0, C x I_3) that is told r at the motif and 0 along every bond, with the noise
    of both, by one solve with all 3 n coordinates.
    """
    x, C = walk(length=length)
    seen, lacking = motif()
    sigma_y = torch.full((2, 1, 1), 0.3, dtype=DOUBLE)
    b, left = told(C, seen, lacking, sigma_y)
    found = Bonds.of(x, everywhere(x), left).keep(b)
    for k in range(len(x)):
        places = seen[k, :, 0].nonzero().flatten()
        u = x[k].diff(dim=0) / length
        rows = [torch.eye(3 * N, dtype=DOUBLE)[3 * i : 3 * i + 3] for i in places]
        bonds = torch.zeros(N - 1, N, 3, dtype=DOUBLE)
        bonds[torch.arange(N - 1), torch.arange(N - 1)] = -u
        bonds[torch.arange(N - 1), torch.arange(1, N)] = u
        H = torch.cat([*rows, bonds.view(N - 1, 3 * N)])
        noise = (0.09 + _SLACK * C[k].diagonal()[places]).repeat_interleave(3)
        R = torch.cat([noise, torch.full((N - 1,), _TAU**2 + (BOND - length) ** 2, dtype=DOUBLE)])
        y = torch.cat([lacking[k][places].flatten(), torch.zeros(N - 1, dtype=DOUBLE)])
        P = torch.kron(C[k], torch.eye(3, dtype=DOUBLE))
        dense = P @ H.mT @ torch.linalg.solve(H @ P @ H.mT + R.diag(), y)
        torch.testing.assert_close(found[k].flatten(), dense, rtol=1e-8, atol=1e-9)


def test_bonds_that_are_resolved_keep_their_length_and_others_need_not():
    x, C = walk()
    seen, lacking = motif()
    b, left = told(C, seen, lacking, torch.full((2, 1, 1), 0.3, dtype=DOUBLE))

    def longer(x, shift):
        u = x.diff(dim=1) / x.diff(dim=1).norm(dim=-1, keepdim=True)
        return float((u * shift.diff(dim=1)).sum(-1).square().mean().sqrt())

    kept = Bonds.of(x, everywhere(x), left).keep(b)
    short = Bonds.of(0.2 * x, everywhere(x), left).keep(b)  # bonds of 0.76: no direction is known
    assert longer(x, kept) < 0.05 * longer(x, b)
    assert longer(x, short) > 0.8 * longer(x, b)


def test_a_mean_that_is_shorter_says_how_far_a_bond_is_known():
    """The law of a bond that is turned by a small Gaussian angle, by sampling it."""
    q, g = 0.02, torch.Generator().manual_seed(0)
    angle = (q**0.5 * torch.randn(200_000, 2, generator=g, dtype=DOUBLE)).norm(dim=1)
    along = BOND * angle.cos()
    assert float(BOND - along.mean()) == pytest.approx(BOND * q, rel=0.02)
    assert float(along.std()) == pytest.approx(BOND * q, rel=0.03)


def test_residues_that_are_not_there_bind_nothing():
    x, C = walk()
    seen, lacking = motif(places=(1, 3))
    exists = torch.arange(N) < torch.tensor([[N], [6]])
    x, C = x * exists[..., None], C * exists[:, None] * exists[:, :, None]
    sigma_y = torch.full((2, 1, 1), 0.3, dtype=DOUBLE)
    b, left = told(C, seen, lacking, sigma_y)
    found = Bonds.of(x, exists, left).keep(b)
    few, c = told(C[1:, :6, :6], seen[1:, :6], lacking[1:, :6], sigma_y[1:])
    alone = Bonds.of(x[1:, :6], exists[1:, :6], c).keep(few)
    torch.testing.assert_close(found[1, :6], alone[0], rtol=1e-9, atol=1e-10)
    assert not found[1, 6:].any()
