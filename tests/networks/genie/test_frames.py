import math

import pytest
import torch

from deft.networks.genie.frames import Frames, frenet, rotation_of

ALL = torch.ones(1, 4, dtype=torch.bool)


def chains(n=2, length=9):
    return torch.randn(n, length, 3, dtype=torch.float64).cumsum(1)


def turned(axis_angle):
    """A rotation by the exponential of the matrix of its axis times its angle."""
    a, b, c = axis_angle
    cross = torch.tensor([[0, -c, b], [c, 0, -a], [-b, a, 0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(cross)


def test_a_chain_that_turns_left_in_the_plane():
    x = torch.tensor([[[0, 0, 0], [2, 0, 0], [2, 3, 0], [1, 3, 0]]], dtype=torch.float64)
    found = frenet(x, ALL)
    t, b, n = [0, 1, 0], [0, 0, 1], [-1, 0, 0]  # towards the next residue, up, towards the inside
    first = torch.tensor([t, b, n], dtype=torch.float64).T
    torch.testing.assert_close(found[0, 1], first)
    torch.testing.assert_close(found[0, 0], first)
    torch.testing.assert_close(found[0, 2, :, 0], torch.tensor([-1.0, 0, 0], dtype=torch.float64))
    torch.testing.assert_close(found[0, 3], found[0, 2])


def test_frames_are_left_handed_and_turn_with_the_chain():
    x, turn = chains(), turned((0.3, -1.2, 0.7))
    mask = torch.ones(2, 9, dtype=torch.bool)
    found = frenet(x, mask)
    torch.testing.assert_close(found.mT @ found, torch.eye(3).double().expand(2, 9, 3, 3))
    torch.testing.assert_close(torch.linalg.det(found), -torch.ones(2, 9, dtype=torch.float64))
    torch.testing.assert_close(frenet(x @ turn.T + 5.0, mask), turn @ found)


def test_frames_of_the_mirror_image_are_not_the_mirrored_frames():
    x, mask = chains(), torch.ones(2, 9, dtype=torch.bool)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    found, other = frenet(x, mask), frenet(x @ mirror, mask)
    torch.testing.assert_close(other[..., 0], found[..., 0] @ mirror)  # a direction
    torch.testing.assert_close(other[..., 1], -found[..., 1] @ mirror)  # a cross product


def test_padding_has_no_frame_and_changes_none():
    x, mask = chains(), torch.arange(9) < torch.tensor([[9], [6]])
    found = frenet(x, mask)
    torch.testing.assert_close(found[1, :6], frenet(x[1:, :6], torch.ones(1, 6).bool())[0])
    torch.testing.assert_close(found[1, 6:], torch.eye(3).double().expand(3, 3, 3))


def test_a_batch_of_three_chains_is_its_chains_one_by_one():
    x, mask = chains(3), torch.ones(3, 9, dtype=torch.bool)
    alone = torch.cat([frenet(one[None], mask[:1]) for one in x])
    torch.testing.assert_close(frenet(x, mask), alone)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.48, -0.6, 0.64)])
def test_the_rotation_of_a_quaternion(axis):
    angle, n = 0.9, torch.tensor(axis, dtype=torch.float64)
    expected = turned((angle * n).tolist())
    torch.testing.assert_close(rotation_of(math.tan(angle / 2) * n), expected)


class TestFrames:
    def frames(self):
        x = chains()
        return Frames(frenet(x, torch.ones(2, 9, dtype=torch.bool)), x)

    def test_into_is_the_inverse_of_out(self):
        frames = self.frames()
        for shape in ((2, 9, 3), (2, 9, 4, 5, 3)):
            points = torch.randn(shape, dtype=torch.float64)
            torch.testing.assert_close(frames.into(frames.out(points)), points)

    def test_a_move_is_within_the_frame(self):
        frames = self.frames()
        turn, by = torch.randn(2, 2, 9, 3, dtype=torch.float64)
        moved = frames.moved(turn, by)
        torch.testing.assert_close(moved.origin, frames.out(by))
        points = torch.randn(2, 9, 3, dtype=torch.float64)
        within = (rotation_of(turn) @ points[..., None])[..., 0] + by
        torch.testing.assert_close(moved.out(points), frames.out(within))
