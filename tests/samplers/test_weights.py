import json
import math

import pytest
import torch

from deft.errors import InvalidInput, WeightsNotFinite
from deft.htransforms.base import NoConditioning
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from deft.samplers.heun import Heun
from deft.samplers.weights import (
    WeightedSamples,
    check_finite,
    effective_sample_size,
    gaussian_steps,
    has_density,
    log_evidence,
    relative_variance,
    systematic,
    weighable,
)
from tests.closed_form import DOUBLE, measured, mixture


def test_effective_sample_size_by_hand():
    log_w = torch.tensor(
        [
            [0.0, 0.0, 0.0, 0.0],
            [0.0, -math.inf, -math.inf, -math.inf],
            [math.log(3.0), 0.0, -math.inf, -math.inf],
        ]
    ).double()
    torch.testing.assert_close(
        effective_sample_size(log_w), torch.tensor([4.0, 1.0, 1.6], dtype=DOUBLE)
    )
    torch.testing.assert_close(
        effective_sample_size(log_w - 1e4), effective_sample_size(log_w), rtol=1e-9, atol=0
    )
    assert effective_sample_size(torch.full((2,), -math.inf)) == 0


def test_the_evidence_and_its_standard_error():
    """Of w = exp(s z - s^2 / 2), whose mean is 1: the errors of many repetitions have the
    standard deviation that each of them states.
    """
    s, n = 0.7, 200
    value, error = log_evidence(s * torch.randn(3000, n, dtype=DOUBLE) - s**2 / 2)
    assert value.std().item() == pytest.approx(error.square().mean().sqrt().item(), rel=0.08)
    assert value.exp().mean().item() == pytest.approx(1, abs=5 * value.std().item() / 3000**0.5)
    weights = torch.rand(7, dtype=DOUBLE) + 0.1
    value, error = log_evidence(weights.log())
    assert value.item() == pytest.approx(weights.mean().log().item())
    assert error.item() == pytest.approx((weights.std() / weights.mean() / 7**0.5).item())


def test_the_variance_comes_from_the_ancestors():
    equal = torch.zeros(2, 4, dtype=DOUBLE)
    own = torch.arange(4).expand(2, -1)
    torch.testing.assert_close(
        relative_variance(equal, own), torch.zeros(2, dtype=DOUBLE), rtol=0, atol=1e-12
    )
    families = relative_variance(equal, torch.tensor([[0, 0, 3, 3], [1, 1, 1, 1]]))
    assert families[0].item() == pytest.approx(1 - 4 / 3 * (1 - 0.5))
    assert families[1].item() == math.inf  # one ancestor is left, and nothing can be said


@pytest.mark.parametrize("chosen", [5, 3, 16])
def test_resampling_is_unbiased(chosen):
    """Over u, every sample comes N w times on average: exactly, where u runs over a fine grid."""
    weights = torch.tensor([0.05, 0.4, 0.0, 0.22, 0.33], dtype=DOUBLE)
    grid = (torch.arange(4000, dtype=DOUBLE) + 0.5) / 4000
    survivors = systematic(weights.log().expand(4000, -1), grid, chosen)
    counts = torch.nn.functional.one_hot(survivors, 5).sum(1).double()
    torch.testing.assert_close(
        counts.mean(0), chosen * weights, rtol=0, atol=1e-3
    )  # the cells of the grid
    assert float((counts - chosen * weights).abs().max()) < 1
    assert not counts[:, 2].any()


def test_resampling_at_the_ends():
    log_w = torch.tensor([[-1e300, 0.0, -1e300]], dtype=DOUBLE)
    for u in (0.0, 0.999999999999):
        assert systematic(log_w, torch.tensor([u], dtype=DOUBLE)).tolist() == [[1, 1, 1]]
    assert systematic(torch.zeros(1, 3), torch.tensor([0.5], dtype=DOUBLE)).tolist() == [[0, 1, 2]]
    assert systematic(torch.zeros(2, 3), torch.zeros(2, dtype=DOUBLE), 0).shape == (2, 0)


def samples():
    x_0 = torch.tensor([[[0.0, 1.0], [4.0, 5.0]], [[1.0, 1.0], [2.0, 2.0]]], dtype=DOUBLE)
    log_w = torch.tensor([[0.0, math.log(3.0)], [0.0, -50.0]], dtype=DOUBLE)
    return WeightedSamples(
        x_0,
        log_w,
        torch.tensor([-1.0, -2.0], dtype=DOUBLE),
        torch.tensor([0.1, math.inf], dtype=DOUBLE),
        torch.tensor([[2.0, 4.0], [1.5, 2.5]], dtype=DOUBLE),
        torch.tensor([0, 1]),
    )


def test_weighted_samples():
    weighted = samples()
    torch.testing.assert_close(
        weighted.mean(), torch.tensor([[3.0, 4.0], [1.0, 1.0]], dtype=DOUBLE)
    )
    drawn = weighted.resample(400, seed=3)
    assert drawn.shape == (2, 400, 2)
    assert int((drawn[0, :, 0] == 4).sum()) == 300
    torch.testing.assert_close(weighted.resample(400, seed=3), drawn)
    torch.testing.assert_close(
        weighted.resample(3, seed=[8, 9])[1:], weighted.resample(3, seed=[4, 9])[1:]
    )


def test_weights_that_collapse_are_reported():
    weighted = samples()
    assert weighted.collapsed.tolist() == [False, True]  # at an earlier step, whatever came after
    lines = str(weighted).splitlines()
    assert "collapsed" not in lines[0]
    assert lines[1].startswith("observation 1: log p(y) = -2 ± not known")
    assert lines[1].endswith("the weights collapsed: samples and log p(y) are not to be trusted")
    card = json.loads(json.dumps(weighted.card(), allow_nan=False))
    assert [c["collapsed"] for c in card] == [False, True]
    assert card[1]["standard_error"] is None


def test_weights_that_are_not_finite():
    check_finite(torch.zeros(4), torch.tensor([0, 0, 1, 1]), "step 3 of 9")
    with pytest.raises(
        WeightsNotFinite, match="1 of 2 log weights of observation 1 are not finite at step 3 of 9"
    ):
        check_finite(
            torch.tensor([0.0, 0.0, 0.0, math.nan]), torch.tensor([0, 0, 1, 1]), "step 3 of 9"
        )


def test_what_has_no_weights():
    prior = mixture()
    posterior = Posterior(prior, NoConditioning(), measured(prior))
    assert weighable(posterior, "this") is posterior
    with pytest.raises(InvalidInput, match="this weighs samples by p"):
        weighable(prior, "this")
    silent = measured(prior, n=2, sigma_y=torch.tensor([0.1, 0.0]))
    with pytest.raises(InvalidInput, match=r"sigma_y = 0 \(observation 1\).*use the sampler DDIM"):
        weighable(Posterior(prior, NoConditioning(), silent), "this")
    assert has_density(0.5, "this") == 0.5
    with pytest.raises(InvalidInput, match=r"got eta = 0\. Deterministic samplers"):
        has_density(0.0, "this")
    sampler = DDIM(3, eta=0.5)
    assert gaussian_steps(sampler, "this") is sampler
    with pytest.raises(InvalidInput, match="Heun has others; use DDIM with eta > 0"):
        gaussian_steps(Heun(3), "this")
    with pytest.raises(InvalidInput, match="eta = 0"):
        gaussian_steps(DDIM(3), "this")
