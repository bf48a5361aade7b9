"""The setting of the mixture benchmark: what it promises of its schedule and of its units."""

import pytest
import torch
from mixture_setting import DOUBLE, Cell, component_width
from starting_law import reach, total_variation

from deft.noise import Noise
from deft.schedules import VPLinear


@pytest.mark.parametrize("d", [8, 80, 800])
def test_the_schedule_ends_where_the_means_are_within_a_tenth_of_the_noise(d):
    assert reach(Cell(d, 1).prior()) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("d", [8, 80, 800])
def test_the_mixture_is_standardised(d):
    prior = Cell(d, 1).prior()
    weights = prior.log_weights[0].exp()
    mean = weights @ prior.means[0]
    variance = component_width(prior) ** 2 + (weights @ (prior.means[0] - mean) ** 2).mean()
    assert mean.abs().max() < 1e-9
    assert float(variance) == pytest.approx(1.0, abs=1e-6)


def test_weights_are_random_and_the_same_for_all_seeds():
    weights = [Cell(8, d_y, seed).prior().log_weights[0].exp() for d_y in (1, 4) for seed in (0, 2)]
    assert all(torch.equal(weights[0], other) for other in weights)
    assert weights[0].std() > 0.005
    assert not torch.allclose(weights[0], Cell(80, 1).prior().log_weights[0].exp())


def test_total_variation_of_one_shifted_gaussian_is_known(monkeypatch):
    # N(m, I) against N(0, I): 2 Phi(|m| / 2) - 1
    from starting_law import ONE, GaussianMixture

    monkeypatch.setattr("starting_law.DRAWS", 20_000)
    mean = torch.tensor([[30.0, 40.0]], dtype=DOUBLE)
    prior = GaussianMixture(mean, torch.ones(1, dtype=DOUBLE), None, VPLinear())
    shift = float(prior.schedule.alpha(ONE)) * 50
    found = total_variation(prior, 0)
    expected = float(torch.erf(torch.tensor(shift / 2 / 2**0.5)))
    assert found.value == pytest.approx(expected, abs=4 * found.standard_error)
    assert found.standard_error < 0.005


def test_problems_are_drawn_anew_for_each_number_and_again_for_the_same():
    cell = Cell(8, 2)
    prior = cell.prior()
    one, again, other = (cell.observation(prior, k) for k in (0, 0, 1))
    assert torch.equal(one.y, again.y)
    assert not torch.equal(one.y, other.y)
    values = one.operator.singular_values(prior.sample(Noise([0], dtype=DOUBLE)))
    assert ((values >= 0) & (values <= 1)).all()
    assert 0 <= float(one.sigma_y) <= component_width(prior) * float(values.max())
