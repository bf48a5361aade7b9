import torch

from deft.operators.base import conjugate_gradients


def positive(n, seed):
    root = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return root @ root.T + 0.1 * torch.eye(n, dtype=torch.float64)


def test_conjugate_gradients_solve():
    a = torch.stack([positive(6, k) for k in range(3)])
    v = torch.randn(3, 6, dtype=torch.float64)
    expected = torch.linalg.solve(a, v[..., None])[..., 0]
    for precondition in (None, lambda r: r / a.diagonal(dim1=1, dim2=2)):
        u = conjugate_gradients(lambda u: (a @ u[..., None])[..., 0], v, tolerance=1e-10, precondition=precondition)
        torch.testing.assert_close(u, expected)


def test_a_signal_does_not_depend_on_its_neighbours():
    a = torch.stack([positive(6, 0), 1e-3 * positive(6, 1)])
    v = torch.randn(2, 6, dtype=torch.float64)
    together = conjugate_gradients(lambda u: (a @ u[..., None])[..., 0], v)
    alone = conjugate_gradients(lambda u: (a[:1] @ u[..., None])[..., 0], v[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-12, rtol=1e-12)


def test_the_exact_preconditioner_takes_one_iteration():
    a = positive(6, 0)[None]
    v, calls = torch.randn(1, 6, dtype=torch.float64), []

    def normal(u):
        calls.append(1)
        return (a @ u[..., None])[..., 0]

    conjugate_gradients(normal, v, precondition=lambda r: torch.linalg.solve(a, r[..., None])[..., 0])
    assert len(calls) == 1


def test_zero_and_nothing():
    zero = conjugate_gradients(lambda u: u, torch.zeros(2, 3))
    assert torch.equal(zero, torch.zeros(2, 3))
    assert conjugate_gradients(lambda u: u, torch.zeros(0, 3)).shape == (0, 3)
