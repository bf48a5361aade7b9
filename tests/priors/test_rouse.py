"""The covariance of a chain by length, against chains whose covariance is known."""

import pytest
import torch

from deft.priors.rouse import KNOTS, ChainCovariance, shapes


def fitted(differences):
    made = ChainCovariance()
    made.fit({knot: differences(torch.arange(1, int(knot)).double()) for knot in KNOTS})
    return made


def test_a_trapped_chain_is_found_again():
    tau, variance = 8.5, 30.0
    known = fitted(lambda k: 2 * variance * (1 - torch.exp(-k / tau)))
    at = torch.arange(60)
    distance = (at - at[:, None]).abs().double()
    S = variance * torch.exp(-distance / tau)
    J = torch.eye(60, dtype=torch.float64) - 1 / 60
    v, U = known.eigen(60)
    error = (U * v) @ U.T - J @ S @ J
    assert float(error.abs().max()) < 0.02 * variance


def test_it_is_a_covariance_of_centred_chains_at_every_length():
    known = fitted(lambda k: 4.8 * k**0.9)
    for length in (3, 20, 50, 73, 128, 200):
        v, U = known.eigen(length)
        assert v.shape == (length,)
        assert float(v[0]) == 0
        assert bool((v[1:] > 0).all())
        torch.testing.assert_close(U[:, 0].abs(), U.new_full((length,), length**-0.5))
        assert float(v.sum()) > 0


def test_differences_come_back_from_the_covariance():
    known = fitted(lambda k: 4.8 * k**0.9)
    v, U = known.eigen(64)
    S = (U * v) @ U.T
    D = S.diagonal()[:, None] + S.diagonal() - 2 * S
    torch.testing.assert_close(D[3, 3:], known.differences(64)[: 64 - 3], rtol=1e-6, atol=1e-6)


def test_weights_are_not_negative_and_linear_between_the_knots():
    known = fitted(lambda k: 4.8 * k**0.9)
    assert bool((known.weights >= 0).all())
    assert 0 < int((known.weights[0] > 0).sum()) < known.weights.shape[1]
    between = (known.differences(50)[:50] + known.differences(64)[:50]) / 2
    torch.testing.assert_close(known.differences(57)[:50], between, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(known.differences(300)[:100], known.differences(128)[:100])


def test_the_fit_is_of_least_squares():
    """No weight that is there can be moved, and none that is not be added, for a better fit."""
    k = torch.arange(1, 50).double()
    target = 4.8 * k**0.9
    known = fitted(lambda k: 4.8 * k**0.9)
    weight = k**-0.7
    A = shapes(k) * weight[:, None]
    w = known.weights[0].double()
    gain = A.T @ (target * weight - A @ w)
    scale = float((A.T @ (target * weight)).abs().max())
    assert float(gain[w > 0].abs().max()) < 1e-4 * scale
    assert float(gain[w == 0].max()) < 1e-4 * scale


def test_padded_rows_are_zero_after_the_end():
    known = fitted(lambda k: 4.8 * k**0.9)
    like = torch.zeros(2, 60, 3)
    v, U = known.padded([50, 60], like)
    assert v.dtype == U.dtype == like.dtype
    assert (v[0, 50:] == 0).all()
    assert (U[0, 50:] == 0).all()
    assert (U[0, :, 50:] == 0).all()
    torch.testing.assert_close(U[1].double(), known.eigen(60)[1], rtol=0, atol=1e-6)


def test_a_new_fit_forgets_what_was_kept():
    known = fitted(lambda k: 4.8 * k**0.9)
    before = known.eigen(50)[0]
    known.fit({knot: 9.6 * torch.arange(1, int(knot)).double() ** 0.9 for knot in KNOTS})
    assert float(known.eigen(50)[0].sum()) == pytest.approx(2 * float(before.sum()), rel=1e-3)
