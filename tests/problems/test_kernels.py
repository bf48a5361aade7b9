import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators import gaussian_kernel, motion_kernel
from deft.problems import GaussianKernels, MotionKernels
from tests.refusal import refused


@pytest.mark.parametrize("size", [1, 4, 9])
def test_kernels_are_averages(size):
    for kernel in (
        gaussian_kernel(size, torch.tensor([0.5, 2.0])),
        motion_kernel(size, Noise([0, 1])),
    ):
        assert kernel.shape == (2, size, size)
        assert (kernel >= 0).all()
        torch.testing.assert_close(kernel.sum((1, 2)), torch.ones(2))


def test_the_standard_deviation_of_a_gaussian():
    kernel = gaussian_kernel(31, 2.0, axes=1)[0]
    at = torch.arange(31) - 15.0
    assert kernel.shape == (31,)
    torch.testing.assert_close((kernel * at**2).sum().sqrt(), torch.tensor(2.0), atol=1e-3, rtol=0)


def test_motion_depends_on_the_seed_alone():
    kernels = motion_kernel(15, Noise([3, 4, 5]))
    assert torch.equal(motion_kernel(15, Noise([4])), kernels[1:2])
    assert not torch.allclose(kernels[0], kernels[1])
    assert motion_kernel(15, Noise([])).shape == (0, 15, 15)


def test_motion_is_a_trace():
    """Connected, and thinner than the kernel: most places stay empty."""
    kernels = motion_kernel(21, Noise(range(20)))
    assert ((kernels > 0).float().mean((1, 2)) < 0.5).all()
    reach = (kernels > 0).any(1).sum(1).maximum((kernels > 0).any(2).sum(1))
    assert (reach >= 11).all()


def test_kernels_of_a_problem():
    like = torch.empty(3, 1, 8, 8)
    noise = Noise([1, 2, 3])
    assert GaussianKernels(size=5, std=1.0).draw(like, noise).shape == (1, 5, 5)
    assert GaussianKernels(size=5, std=(0.5, 2.0)).draw(like, noise).shape == (3, 5, 5)
    assert GaussianKernels(size=5, std=1.0).draw(torch.empty(3, 2, 8), noise).shape == (1, 5)
    assert MotionKernels(size=5).draw(like, noise).shape == (3, 5, 5)


def test_errors():
    refused(lambda: gaussian_kernel(0, 1.0), 0, "a whole number >= 1")
    refused(lambda: gaussian_kernel(3, torch.tensor([1.0, -1.0])), -1.0, "a finite number > 0")
    refused(lambda: GaussianKernels(std=0.0), 0.0, "a finite number > 0")
    refused(lambda: GaussianKernels(std=(2.0, 1.0)), (2.0, 1.0), "0 < low <= high")
    refused(lambda: MotionKernels(smoothness=1.0), 1.0, "a number in [0, 1)")
    with pytest.raises(InvalidInput, match=r"signals of shape \(2, 8\)"):
        MotionKernels().draw(torch.empty(1, 2, 8), Noise([0]))
