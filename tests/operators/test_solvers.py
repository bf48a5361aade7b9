import torch

from deft.operators.blur import Blur
from deft.operators.solvers import conjugate_gradients, counted

DOUBLE = torch.float64


def test_iterations_of_all_signals_are_counted():
    a = torch.diag(torch.tensor([1.0, 2.0, 5.0], dtype=DOUBLE))
    v = torch.tensor(
        [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=DOUBLE
    )  # solved in one iteration, and in three
    with counted() as solves:
        conjugate_gradients(lambda u: u @ a, v)
    assert solves.taken == 4
    conjugate_gradients(lambda u: u @ a, v)
    assert solves.taken == 4


def test_an_inner_count_is_its_own():
    v = torch.ones(1, 2, dtype=DOUBLE)
    with counted() as outer:
        with counted() as inner:
            conjugate_gradients(lambda u: 2 * u, v)
        conjugate_gradients(lambda u: 2 * u, v)
    assert (inner.taken, outer.taken) == (1, 1)


def test_an_operator_that_knows_its_decomposition_takes_none():
    kernel, one = torch.full((1, 3, 3), 1 / 9, dtype=DOUBLE), torch.ones(1, dtype=DOUBLE)
    y = torch.randn(2, 1, 8, 8, dtype=DOUBLE)
    taken = {}
    for edges in ("circular", "reflect"):
        with counted() as solves:
            Blur(kernel, edges).solve(y, one, 0.1 * one)
        taken[edges] = solves.taken
    assert taken["circular"] == 0 < taken["reflect"]
