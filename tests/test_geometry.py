"""Superposition: known motions are found, mirror images are not, and few points stay stable."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.geometry import kabsch, superposed
from tests.refusal import refused

DOUBLE = torch.float64


def rotations(n: int, seed: int = 0) -> torch.Tensor:
    """Proper rotations, uniform."""
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(n, 3, 3, generator=generator, dtype=DOUBLE))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    return q * torch.linalg.det(q)[:, None, None]


def close(a, b, tolerance=1e-8):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@given(st.integers(0, 10_000), st.integers(3, 12), st.floats(0.01, 1e3))
@settings(max_examples=40)
def test_a_motion_is_found(seed, points, size):
    torch.manual_seed(seed)
    a = size * torch.randn(2, points, 3, dtype=DOUBLE)
    rotation, c = rotations(2, seed), 50 * torch.randn(2, 3, dtype=DOUBLE)
    found = kabsch(a, a @ rotation.mT + c[:, None])
    close(found.rotation, rotation, 1e-5)
    close(found(a), a @ rotation.mT + c[:, None], 1e-5 * size)


def test_single_precision_is_kept_and_is_precise():
    a = torch.randn(4, 8, 3)
    found = kabsch(a, a @ rotations(4).float().mT)
    assert found.rotation.dtype == found.translation.dtype == torch.float32
    close(found.rotation, rotations(4).float(), 1e-5)


def test_a_mirror_image_is_not_superposed():
    """The best proper rotation of a mirror image leaves twice the smallest singular value."""
    a = torch.randn(1, 9, 3, dtype=DOUBLE)
    a = a - a.mean(1, keepdim=True)
    mirrored = a * torch.tensor([-1.0, 1.0, 1.0], dtype=DOUBLE)
    found = kabsch(mirrored, a)
    close(torch.linalg.det(found.rotation), torch.ones(1, dtype=DOUBLE))
    left = (found(mirrored) - a).square().sum()
    s = torch.linalg.svdvals(a[0].T @ a[0])
    close(left, 4 * s[2])


def test_no_motion_is_better():
    """Of noisy points: random small motions around the one that was found fit worse."""
    a = torch.randn(1, 7, 3, dtype=DOUBLE)
    b = torch.randn(1, 7, 3, dtype=DOUBLE)
    w = torch.rand(1, 7, dtype=DOUBLE)
    found = kabsch(a, b, w)

    def loss(moved):
        return (w[..., None] * (moved - b) ** 2).sum((-2, -1))

    best = loss(found(a))
    for seed in range(50):
        axis = 0.05 * torch.randn(3, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
        near = torch.linalg.matrix_exp(axis - axis.T) @ found.rotation
        moved = a @ near.mT
        moved = moved + (w[..., None] * (b - moved)).sum(1) / w.sum()
        assert loss(moved) > best


def test_weights_and_masks():
    a, b = torch.randn(3, 6, 3, dtype=DOUBLE), torch.randn(3, 6, 3, dtype=DOUBLE)
    mask = torch.tensor([True, True, False, True, True, False]).expand(3, 6)
    few = kabsch(a[:, mask[0]], b[:, mask[0]])
    masked = kabsch(a, b, mask)
    close(masked.rotation, few.rotation)
    close(masked.translation, few.translation)
    close(kabsch(a, b, 7.0 * mask).rotation, few.rotation)


def test_points_that_count_for_nothing_do_not_move():
    a = torch.randn(2, 4, 3)
    close(superposed(a, torch.randn(2, 4, 3), torch.zeros(2, 4)), a)


@pytest.mark.parametrize("points", [1, 2, 3])
def test_few_and_collinear_points(points):
    """They are superposed as well as they can be, by the rotation nearest to the identity, and by
    a near one where they move a little.
    """
    line = torch.arange(points, dtype=DOUBLE)[None, :, None]
    a = line * torch.tensor([3.8, 0.0, 0.0], dtype=DOUBLE) + 5
    angle = 0.7
    direction = torch.tensor([math.cos(angle), math.sin(angle), 0.0], dtype=DOUBLE)
    b = 3.8 * line * direction - 2
    found = kabsch(a, b)
    close(found(a), b, 1e-6)
    turned = torch.acos((found.rotation[0].trace() - 1) / 2)
    close(turned, torch.tensor(angle if points > 1 else 0.0, dtype=DOUBLE), 1e-5)
    near = kabsch(a, b + 1e-7 * torch.randn_like(b))
    close(near.rotation, found.rotation, 1e-3)
    assert kabsch(a, b.flip(1)).rotation.isfinite().all()


def test_no_gradient_through_the_rotation():
    """The derivative of the least distance is that at fixed R (envelope theorem)."""
    a = torch.randn(2, 5, 3, dtype=DOUBLE, requires_grad=True)
    b = torch.randn(2, 5, 3, dtype=DOUBLE)
    assert not kabsch(a, b).rotation.requires_grad

    def least(a):
        return (superposed(a, b) - b).square().sum()

    assert torch.autograd.gradcheck(least, (a,), atol=1e-5)


def test_what_is_not_finite_stays_so_and_is_no_error():
    a = torch.randn(2, 5, 3)
    a[0, 0, 0] = torch.nan
    moved = superposed(a, torch.randn(2, 5, 3))
    assert moved[0].isnan().any()
    assert moved[1].isfinite().all()


def test_batches_of_none_and_more_axes():
    assert kabsch(torch.zeros(0, 4, 3), torch.zeros(0, 4, 3)).rotation.shape == (0, 3, 3)
    a, b = torch.randn(2, 3, 4, 3), torch.randn(2, 3, 4, 3)
    close(superposed(a, b)[1, 2], superposed(a[1, 2], b[1, 2]), 1e-5)


def test_errors():
    a = torch.zeros(2, 4, 3)
    refused(lambda: kabsch(a, a[:, :3]), "the shapes (2, 4, 3) and (2, 3, 3)", "two of one shape")
    refused(lambda: kabsch(a[..., :2], a[..., :2]), "the shapes (2, 4, 2) and (2, 4, 2)", "3")
    refused(lambda: kabsch(a, a, torch.zeros(2, 3)), "the shape (2, 3)", "(2, 4)")
