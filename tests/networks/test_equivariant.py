"""The body of backbone networks: turned with its input, blind to padding, not to mirrors."""

import pytest
import torch

from deft.errors import InvalidInput
from deft.networks.equivariant import EquivariantBody


def body(**more):
    torch.manual_seed(0)
    made = EquivariantBody(2, width=16, blocks=2, heads=2, pair=8, window=3, **more).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.requires_grad_(False)


def chains(*lengths):
    torch.manual_seed(1)
    n = max(lengths)
    mask = torch.arange(n) < torch.tensor(lengths)[:, None]
    steps = 3.8 * torch.nn.functional.normalize(torch.randn(len(lengths), n, 3), dim=-1)
    return (steps.cumsum(1) * mask[..., None]).double(), mask


def rotation():
    torch.manual_seed(2)
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    return q * torch.linalg.det(q)


NUMBERS = torch.tensor([[0.3, -1.0], [2.0, 0.5]], dtype=torch.float64)


@pytest.mark.parametrize("nearest", [None, 4])
def test_it_turns_with_its_input_and_does_not_see_where_it_is(nearest):
    net, R = body(nearest=nearest), rotation()
    y, mask = chains(9, 12)
    moved = (y @ R.T + torch.tensor([5.0, -3.0, 2.0])) * mask[..., None]
    out = net(y, mask, NUMBERS)
    assert float(out.abs().mean()) > 0.01
    torch.testing.assert_close(net(moved, mask, NUMBERS), out @ R.T, rtol=0, atol=1e-9)


def test_a_mirror_image_is_another_chain():
    net, mirror = body(), torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    y, mask = chains(12)
    out, reflected = (net(x, mask, NUMBERS[:1]) for x in (y, y @ mirror))
    assert float((reflected - out @ mirror).abs().max()) > 0.05 * float(out.abs().max())


@pytest.mark.parametrize("nearest", [None, 4])
def test_padding_and_company_change_nothing(nearest):
    net = body(nearest=nearest)
    y, mask = chains(9, 12)
    colour = torch.randn(2, 12, 12, dtype=torch.float64) * mask[:, None] * mask[..., None]
    out = net(y, mask, NUMBERS, colour)
    alone = net(y[:1, :9], mask[:1, :9], NUMBERS[:1], colour[:1, :9, :9])
    torch.testing.assert_close(out[:1, :9], alone, rtol=0, atol=1e-9)
    assert (out[0, 9:] == 0).all()


def test_with_as_many_neighbours_as_residues_it_is_the_network_of_all_pairs():
    y, mask = chains(9, 12)
    every, near = (body(nearest=nearest)(y, mask, NUMBERS) for nearest in (None, 12))
    torch.testing.assert_close(near, every, rtol=0, atol=1e-6)


def test_later_blocks_see_the_chain_as_it_is_by_then():
    net = body()
    y, mask = chains(10)
    eye = torch.eye(10, dtype=torch.float64)[None]
    still, moved = net(y, mask, NUMBERS[:1], 0 * eye), net(y, mask, NUMBERS[:1], eye)
    assert float((still - moved).abs().max()) > 1e-3
    torch.testing.assert_close(moved, net(y, mask, NUMBERS[:1]))


def test_features_of_residues_and_pairs_are_read():
    net = body(singles=3, pairs=2)
    y, mask = chains(8)
    singles, pairs = torch.randn(1, 8, 3).double(), torch.randn(1, 8, 8, 2).double()
    out = net(y, mask, NUMBERS[:1], None, singles, pairs)
    for other in ((0 * singles, pairs), (singles, 0 * pairs)):
        assert not torch.allclose(out, net(y, mask, NUMBERS[:1], None, *other))


def test_it_is_zero_before_it_is_trained_and_its_last_layers_learn_at_once():
    net = EquivariantBody(1, width=16, blocks=2, heads=2, pair=8, window=3)
    y, mask = chains(10)
    out = net(y.float(), mask, torch.zeros(1, 1))
    assert (out == 0).all()
    (out * torch.randn(1, 10, 3)).sum().backward()
    moved = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert {
        "over_pairs.1.strength.weight",
        "layers.0.head.weight",
        "layers.1.attention.pull.weight",
    } <= moved


@pytest.mark.parametrize("nearest", [None, 4])
def test_gradients_are_finite_on_a_straight_and_on_a_collapsed_chain(nearest):
    net = body(nearest=nearest)
    line = torch.arange(8, dtype=torch.float64)[None, :, None] * torch.tensor([3.8, 0.0, 0.0])
    for y in (line, 0 * line):
        y = y.clone().requires_grad_()
        net(y, torch.ones(1, 8, dtype=torch.bool), NUMBERS[:1]).sum().backward()
        assert bool(torch.isfinite(y.grad).all())


@pytest.mark.parametrize("name", ["width", "blocks", "heads", "pair", "window", "nearest"])
def test_sizes_are_whole_numbers(name):
    with pytest.raises(InvalidInput, match=name):
        EquivariantBody(1, **{name: 0})


def test_heads_share_the_channels():
    with pytest.raises(InvalidInput, match="heads"):
        EquivariantBody(1, width=10, heads=4)
