import pytest
import torch

from deft.errors import InvalidInput
from deft.networks import MLP, ResidualMLP
from deft.networks.mlp import ScalarFeatures


def test_features():
    c = torch.tensor([[-20.0, 3.0]], dtype=torch.float64)
    features = ScalarFeatures(2, frequencies=3).double()(c)
    angles = torch.tensor(
        [2.0**k * number / 8 for number in (-20.0, 3.0) for k in range(3)], dtype=torch.float64
    )
    torch.testing.assert_close(features[0], torch.cat([c[0] / 8, angles.sin(), angles.cos()]))


@pytest.mark.parametrize("numbers", [1, 2])
def test_untrained_it_is_a_constant(numbers):
    out = MLP(numbers, 3, bias=0.4)(20 * torch.randn(5, numbers))
    assert torch.equal(out, torch.full((5, 3), 0.4))


def test_any_batch_is_its_rows_one_by_one():
    network = MLP(2, 1).double()
    for p in network.parameters():
        p.data += 0.3 * torch.randn_like(p)
    c = 5 * torch.randn(3, 2, dtype=torch.float64)
    together = network(c)
    for i in range(3):
        torch.testing.assert_close(network(c[i : i + 1])[0], together[i])
    assert network(c[:0]).shape == (0, 1)
    assert together.unique().numel() == 3


def test_it_learns_more_than_a_constant():
    network, c = MLP(1, 1), torch.linspace(-10, 10, 16)[:, None]
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    goal = torch.tanh(c / 4)
    for _ in range(150):
        loss = (network(c) - goal).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1 * goal.var()


def test_the_residual_network_starts_at_zero_and_reads_everything():
    network = ResidualMLP(6, 3, numbers=2, width=8, depth=2).double()
    x, c = (
        torch.randn(4, 6, dtype=torch.float64, requires_grad=True),
        torch.randn(4, 2, dtype=torch.float64, requires_grad=True),
    )
    assert torch.equal(network(x, c), torch.zeros(4, 3, dtype=torch.float64))
    for p in network.parameters():
        p.data += 0.3 * torch.randn_like(p)
    out = network(x, c)
    torch.testing.assert_close(network(x[1:2], c[1:2])[0], out[1])
    out.sum().backward()
    assert bool(x.grad.all())
    assert bool(c.grad.all())
    assert all(p.grad is not None for p in network.parameters())
    assert network(x[:0], c[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: MLP(0, 1), "numbers"),
        (lambda: MLP(1, 0), "out"),
        (lambda: MLP(1, 1, width=0), "width"),
        (lambda: MLP(1, 1, depth=-1), "depth"),
        (lambda: ResidualMLP(0, 1, numbers=1), "in_features"),
        (lambda: ResidualMLP(1, 1, numbers=1, depth=-1), "depth"),
    ],
)
def test_numbers_that_make_no_network(make, what):
    with pytest.raises(InvalidInput) as raised:
        make()
    assert raised.value.what == what
    assert raised.value.given is not None
