import math

import torch

from deft.networks.genie.frames import Frames, frenet, rotation_of
from deft.networks.genie.sizes import Sizes
from deft.networks.genie.structure import PointAttention, StructureLayer

N = 6
SIZES = Sizes(single=8, pair=5, heads=2, head=3, query_points=2, value_points=4, transitions=2)
MASK = torch.arange(N) < 5
PAIRS = (MASK[:, None] & MASK)[None]


def given():
    x = 3 * torch.randn(1, N, 3, dtype=torch.float64).cumsum(1)
    s = torch.randn(1, N, 8, dtype=torch.float64)
    return s, torch.randn(1, N, N, 5, dtype=torch.float64), Frames(frenet(x, MASK[None]), x)


def moved(frames):
    turn = rotation_of(torch.tensor([0.4, -1.0, 0.3], dtype=torch.float64))
    return turn, Frames(turn @ frames.rotation, frames.origin @ turn.T + 7.0)


@torch.no_grad()
def test_attention_by_its_formula():
    net = PointAttention(SIZES).double()
    torch.nn.init.normal_(net.head_weights)
    s, p, frames = given()
    found = net(s, p, frames, PAIRS)[0]

    def point(numbers, i, h, k, most):  # x, y and z in three blocks
        p_local = torch.stack(numbers[i].chunk(3))[:, h * most + k]
        return frames.rotation[0, i] @ p_local + frames.origin[0, i]

    q, kv = net.linear_q(s[0]), net.linear_kv(s[0])
    qp, kvp, bias = net.linear_q_points(s[0]), net.linear_kv_points(s[0]), net.linear_b(p[0])
    i, values, local, lengths, pairs = 2, [], [], [], []
    for h in range(2):
        weight = float(torch.nn.functional.softplus(net.head_weights[h]))
        weight *= math.sqrt(1 / (3 * 2 * 9 / 2))
        logits = []
        for j in range(5):
            k = kv[j, 6 * h : 6 * h + 3]
            apart = sum(
                float((point(qp, i, h, m, 2) - point(kvp, j, h, m, 6)).square().sum())
                for m in range(2)
            )
            logit = float(q[i, 3 * h : 3 * h + 3] @ k) / math.sqrt(9)
            logits.append(logit + math.sqrt(1 / 3) * float(bias[i, j, h]) - 0.5 * weight * apart)
        a = torch.tensor(logits, dtype=torch.float64).softmax(0)
        values.append(sum(a[j] * kv[j, 6 * h + 3 : 6 * h + 6] for j in range(5)))
        pairs.append(sum(a[j] * p[0, i, j] for j in range(5)))
        for m in range(2, 6):
            there = sum(a[j] * point(kvp, j, h, m, 6) for j in range(5))
            local.append(frames.rotation[0, i].T @ (there - frames.origin[0, i]))
            lengths.append(local[-1].norm())
    blocks = torch.stack(local).T  # x of all points, y of all, z of all
    told = torch.cat([*values, *blocks, torch.stack(lengths), *pairs])
    torch.testing.assert_close(found[i], net.linear_out(told), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_features_do_not_change_and_frames_move_with_the_chain():
    layer = StructureLayer(SIZES).double()
    s, p, frames = given()
    turn, elsewhere = moved(frames)
    first, there = layer(s, p, frames, PAIRS)
    second, after = layer(s, p, elsewhere, PAIRS)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(after.origin, there.origin @ turn.T + 7.0)
    torch.testing.assert_close(after.rotation, turn @ there.rotation)
    assert (there.origin - frames.origin).norm() > 0.1


@torch.no_grad()
def test_a_residue_that_does_not_exist_has_no_influence():
    layer = StructureLayer(SIZES).double()
    s, p, frames = given()
    other = s.clone()
    other[0, 5] += 3.0
    first, second = layer(s, p, frames, PAIRS)[0], layer(other, p, frames, PAIRS)[0]
    torch.testing.assert_close(first[0, :5], second[0, :5])
