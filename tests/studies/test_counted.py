import torch

from deft.studies.counted import Counted
from tests.closed_form import mixture
from tests.studies.labelled import Labelled


def test_every_gradient_of_an_evaluation_is_counted():
    counted = Counted(mixture())
    x_t, t = torch.randn(3, 3, dtype=torch.float64), torch.tensor([0.4], dtype=torch.float64)
    counted.denoise(x_t, t)
    assert (counted.evaluations, counted.gradients) == (3, 0)
    denoised = counted.at(x_t.requires_grad_(), t)
    assert (counted.evaluations, counted.gradients) == (6, 0)
    for _ in range(2):
        denoised.vjp(torch.ones_like(x_t))
    denoised.gradient(denoised.x_0_hat.square().sum(1))
    assert (counted.evaluations, counted.gradients) == (6, 9)


def test_parts_count_together():
    counted = Counted(Labelled().given(labels=torch.zeros(3)))
    x_t, t = torch.zeros(3, 1, 16, 16), torch.ones(1)
    assert torch.equal(
        counted.given(labels=torch.ones(3)).take([0, 2]).denoise(x_t[:2], t),
        torch.ones(2, 1, 16, 16),
    )
    counted.denoise(x_t.requires_grad_(), t).sum().backward()
    assert (counted.num_observations, counted.evaluations, counted.gradients) == (3, 5, 3)


def test_it_is_the_prior_that_it_counts():
    prior = mixture()
    counted = Counted(prior)
    for name in (
        "name",
        "schedule",
        "event_shape",
        "value_range",
        "scale",
        "differentiable",
        "device",
        "dtype",
        "num_observations",
    ):
        assert getattr(counted, name) == getattr(prior, name), name
    assert counted.identity() == prior.identity()
