import math

import pytest
import torch

from deft.networks.genie.sizes import Sizes
from deft.networks.genie.triangles import Multiplication, PairLayer, TriangleAttention

N = 5
SIZES = Sizes(pair=6, multiplied=4, attending=2, attended=3, pair_factor=2)
MASK = (torch.arange(N) < 4)[:, None] & (torch.arange(N) < 4)


def given():
    return torch.randn(1, N, N, 6), MASK[None]


def pair_layer():
    torch.manual_seed(1)
    return PairLayer(SIZES)


@pytest.mark.parametrize("incoming", [False, True])
@torch.no_grad()
def test_multiplication_by_its_formula(incoming):
    layer = pair_layer()
    net = layer.tri_mul_in if incoming else layer.tri_mul_out
    assert isinstance(net, Multiplication)
    p, pairs = given()
    found, z = net(p, pairs)[0], net.layer_norm_in(p[0])
    a = torch.sigmoid(net.linear_a_g(z)) * net.linear_a_p(z)
    b = torch.sigmoid(net.linear_b_g(z)) * net.linear_b_p(z)
    for i, j in ((0, 3), (2, 1), (3, 3)):
        total = sum(a[k, i] * b[k, j] if incoming else a[i, k] * b[j, k] for k in range(4))
        update = net.linear_z(net.layer_norm_out(total))
        expected = torch.sigmoid(net.linear_g(z[i, j])) * update
        torch.testing.assert_close(found[i, j], expected)


@pytest.mark.parametrize("transposed", [False, True])
@torch.no_grad()
def test_attention_by_its_formula(transposed):
    layer = pair_layer()
    net = layer.tri_att_end if transposed else layer.tri_att_start
    assert isinstance(net, TriangleAttention)
    p, pairs = given()
    found = net(p, pairs)[0]
    z = net.layer_norm(p[0].transpose(0, 1) if transposed else p[0])
    mha = net.mha
    q, k, v = (f(z).unflatten(-1, (2, 3)) for f in (mha.linear_q, mha.linear_k, mha.linear_v))
    bias = net.linear(z)
    for i, j in ((0, 3), (2, 1), (1, 1)):
        heads = []
        for h in range(2):
            logits = [float(q[i, j, h] @ k[i, m, h]) / math.sqrt(3) for m in range(4)]
            weights = torch.tensor([x + float(bias[j, m, h]) for m, x in enumerate(logits)])
            heads.append(sum(w * v[i, m, h] for m, w in enumerate(weights.softmax(0))))
        gated = torch.sigmoid(mha.linear_g(z[i, j])) * torch.cat(heads)
        expected = mha.linear_o(gated)
        torch.testing.assert_close(found[(j, i) if transposed else (i, j)], expected)


@torch.no_grad()
def test_what_does_not_exist_has_no_influence_and_stays_zero():
    layer = pair_layer()
    p, pairs = given()
    other = p.clone()
    other[~pairs] += 10.0
    first, second = layer(p, pairs), layer(other, pairs)
    torch.testing.assert_close(first, second)
    assert (first[~pairs] == 0).all()


def test_the_layers_that_there_are():
    names = [name for name, _ in PairLayer(Sizes(multiplied=0)).named_children()]
    assert names == ["pair_transition"]
    names = [name for name, _ in pair_layer().named_children()]
    start, end = "tri_att_start", "tri_att_end"
    assert names == ["tri_mul_out", "tri_mul_in", start, end, "pair_transition"]
