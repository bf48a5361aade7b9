"""Frames along a chain: rotations that turn with it, mirrored where it is not."""

import torch

from deft.networks.frames import between, frames, radial, unit


def chains(*lengths):
    torch.manual_seed(1)
    n = max(lengths)
    mask = torch.arange(n) < torch.tensor(lengths)[:, None]
    steps = 3.8 * torch.nn.functional.normalize(torch.randn(len(lengths), n, 3), dim=-1)
    return (steps.cumsum(1) * mask[..., None]).double(), mask


def test_frames_are_rotations_of_a_bent_chain_and_the_ends_take_their_neighbours():
    y, mask = chains(6, 9)
    R = frames(y, mask)
    inner = R[1, 1:-1]
    torch.testing.assert_close(
        inner.mT @ inner, torch.eye(3, dtype=torch.float64).expand_as(inner), rtol=0, atol=0.01
    )
    assert float(torch.linalg.det(inner).min()) > 0.98
    for row, length in enumerate((6, 9)):
        torch.testing.assert_close(R[row, 0], R[row, 1])
        torch.testing.assert_close(R[row, length - 1], R[row, length - 2])


def test_unit_and_radial():
    v = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(unit(v)[0], torch.tensor([0.6, 0.0, 0.8]), rtol=0, atol=1e-5)
    assert (unit(v)[1] == 0).all()
    value = radial(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.0, 4.0]))
    torch.testing.assert_close(value[0, 0], torch.tensor(1.0))
    torch.testing.assert_close(value[0, 1], torch.exp(torch.tensor(-4.0)))  # 2 over a width of 1


def test_the_third_axis_turns_over_in_a_mirror():
    y, mask = chains(9)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    R, reflected = frames(y, mask), frames(y @ mirror, mask)
    torch.testing.assert_close(reflected[..., :2], (mirror @ R)[..., :2])
    torch.testing.assert_close(reflected[..., 2], -(mirror @ R)[..., 2])


def test_what_lies_between_residues():
    y, mask = chains(7)
    axes, centres = frames(y, mask), torch.tensor([2.0, 4.0, 8.0], dtype=torch.float64)
    d, features = between(y, axes, centres)
    i, j = 2, 5
    apart = y[0, j] - y[0, i]
    torch.testing.assert_close(d[0, i, j], apart.norm(), rtol=0, atol=1e-6)
    torch.testing.assert_close(features[0, i, j, :3], radial(d[0, i, j], centres))
    there, back = axes[0, i].mT @ apart, axes[0, j].mT @ -apart
    expected = torch.cat([there, back]) / (d[0, i, j] + 1)
    torch.testing.assert_close(features[0, i, j, 3:], expected)
