import numpy as np
import pytest
import torch

from deft.errors import InvalidInput
from deft.likelihoods import GaussianLikelihood, Observation
from deft.metrics import misfit, psnr, root_mean_square, ssim
from deft.operators.base import ForwardOperator


class Half(ForwardOperator):
    """The first half of every row."""

    def forward(self, x_0):
        return x_0[..., : x_0.shape[-1] // 2]

    def lift(self, y):
        return torch.cat([y, torch.zeros_like(y)], dim=-1)


def pair(*shape, noise=0.2):
    g = torch.Generator().manual_seed(0)
    clean = (
        torch.nn.functional.avg_pool1d(
            torch.rand(shape, generator=g).flatten(1)[:, None], 3, 1, 1
        ).reshape(shape)
        * 2
        - 1
    )
    return clean + noise * torch.randn(shape, generator=g), clean


@pytest.mark.parametrize("shape", [(3, 1, 16, 16), (2, 3, 24, 17), (1, 2, 11, 11), (2, 1, 40)])
def test_psnr_and_ssim_equal_skimage(shape):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    x, clean = pair(*shape)
    for i in range(len(x)):
        a, b = x[i].double().numpy(), clean[i].double().numpy()
        expected = structural_similarity(
            a,
            b,
            data_range=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=0,
        )
        assert np.isclose(ssim(x, clean, 2.0)[i].item(), expected, atol=1e-6)
        assert np.isclose(
            psnr(x, clean, 2.0)[i].item(), peak_signal_noise_ratio(b, a, data_range=2), atol=1e-4
        )


def test_equal_images():
    x, _ = pair(2, 3, 16, 16)
    assert torch.isinf(psnr(x, x, 2.0)).all()
    assert torch.allclose(ssim(x, x, 2.0), torch.ones(2))


def test_an_image_does_not_depend_on_its_neighbours():
    x, clean = pair(3, 1, 16, 16)
    assert torch.equal(ssim(x, clean, 2.0)[1:2], ssim(x[1:2], clean[1:2], 2.0))
    assert len(psnr(x[:0], clean[:0], 2.0)) == 0


def test_small_images_are_refused_by_ssim_only():
    x, clean = pair(1, 1, 8, 8)
    with pytest.raises(InvalidInput, match="11 places"):
        ssim(x, clean, 2.0)
    assert torch.isfinite(psnr(x, clean, 2.0)).all()


def test_wrong_input():
    x, clean = pair(2, 1, 16, 16)
    with pytest.raises(InvalidInput, match="same shape"):
        psnr(x, clean[:1], 2.0)
    with pytest.raises(InvalidInput, match="data_range"):
        ssim(x, clean, 0.0)


def test_misfit_of_the_truth_is_one():
    g = torch.Generator().manual_seed(1)
    x_0 = torch.randn(64, 1, 16, 16, generator=g)
    likelihood = GaussianLikelihood(Half(), 0.3)
    y = likelihood.operator(x_0) + 0.3 * torch.randn(64, 1, 16, 8, generator=g)
    values = misfit(x_0, Observation(y, likelihood))
    # Mean square of 64 x 128 unit normals: its standard deviation is sqrt(2 / 8192) = 0.016.
    assert root_mean_square(values).item() == pytest.approx(1, abs=0.03)
    assert torch.allclose(
        misfit(x_0 + 1, Observation(likelihood.operator(x_0), likelihood)),
        torch.full((64,), 1 / 0.3),
    )
    exact = Observation(likelihood.operator(x_0), GaussianLikelihood(Half(), 0.0))
    assert torch.allclose(misfit(x_0 + 0.5, exact), torch.full((64,), 0.5))
