import torch

from deft.likelihoods import GaussianLikelihood
from deft.operators import HighDynamicRange
from tests.contracts.operator import OperatorContract
from tests.refusal import refused


class TestHighDynamicRange(OperatorContract):
    event_shape = (3, 4, 5)

    def make(self, seeds):
        return HighDynamicRange()


class TestOfALine(OperatorContract):
    event_shape = (2, 9)

    def make(self, seeds):
        return HighDynamicRange(3.0, (0.0, 1.0))


def test_it_is_the_clipped_signal():
    x = torch.tensor([[-2.0, -0.5, -0.2, 0.0, 0.3, 0.5, 0.9]])
    torch.testing.assert_close(
        HighDynamicRange()(x), torch.tensor([[-1.0, -1.0, -0.4, 0.0, 0.6, 1.0, 1.0]])
    )
    operator = HighDynamicRange(4.0, (0.0, 2.0))
    assert operator(x)[0, 0] == 0
    assert operator(x)[0, -1] == 2
    unclipped = torch.tensor([[0.1, 0.4]])
    torch.testing.assert_close(operator.lift(operator(unclipped)), unclipped)


class TestGuidance:
    likelihood = GaussianLikelihood(HighDynamicRange(), 0.0)

    def test_it_survives_saturation(self):
        """The estimate is saturated and wrong: the derivative of A is zero there, the guidance
        is not.
        """
        x_0_hat, y = torch.tensor([[0.9, -0.9]], requires_grad=True), torch.tensor([[0.2, 0.2]])
        true = torch.autograd.grad(self.likelihood.residual(x_0_hat, y).square().sum(), x_0_hat)[0]
        assert torch.equal(true, torch.zeros_like(true))
        guidance = self.likelihood.guidance(x_0_hat.detach(), torch.ones(1), y)
        assert guidance[0, 0] < 0 < guidance[0, 1]

    def test_nothing_is_said_where_both_are_clipped_alike(self):
        guidance = self.likelihood.guidance(
            torch.tensor([[0.7, -5.0]]), torch.ones(1), torch.tensor([[1.0, -1.0]])
        )
        assert torch.equal(guidance, torch.zeros_like(guidance))

    def test_without_noise_it_goes_to_the_measurement_where_nothing_is_clipped(self):
        r_t, x_0_hat, y = (
            torch.tensor([0.3]),
            torch.tensor([[0.1, -0.4]]),
            torch.tensor([[0.5, 0.0]]),
        )
        torch.testing.assert_close(x_0_hat + r_t * self.likelihood.guidance(x_0_hat, r_t, y), y / 2)

    def test_it_is_the_pull_of_the_surrogate(self):
        operator, x, v = (
            HighDynamicRange(),
            0.1 * torch.randn(3, 1, 4, 4),
            0.1 * torch.randn(3, 1, 4, 4),
        )
        r2, s2 = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([0.0, 0.1, 3.0])
        torch.testing.assert_close(
            operator.pull(x, v, r2, s2), super(HighDynamicRange, operator).pull(x, v, r2, s2)
        )


def test_errors():
    for factor in (0, -1.0, torch.inf):
        refused(lambda factor=factor: HighDynamicRange(factor), factor, "a finite number > 0")
    refused(lambda: HighDynamicRange(2.0, (1.0, -1.0)), (1.0, -1.0), "low < high")
    refused(lambda: HighDynamicRange(2.0, (-1.0, torch.inf)), (-1.0, torch.inf), "low < high")
