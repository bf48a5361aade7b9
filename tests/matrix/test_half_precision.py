"""Networks in half precision against the same in single: 64 samples of each method, from the
same seeds, are the same samples but for rounding.
"""

import math

import pytest
import torch

from deft.priors.base import Prior
from deft.samplers.base import Sampling
from tests.matrix.kinds import H_TRANSFORMS, SAMPLERS, observation, of_network

METHODS = [
    ("PiGDM", "DDIM(eta=1)"),
    ("DPS", "DDIM(eta=1)"),
    ("DDNM", "DPMSolver"),
    ("MMPS", "Heun"),
    ("NoConditioning", "DDNMPlus"),
    ("NoConditioning", "DiffPIR"),
    ("NoConditioning", "DAPS"),
]


def drawn(prior: Prior, h: str, sampler: Sampling) -> tuple[torch.Tensor, float, float]:
    observed, truth = observation("inpainting", prior)
    x_0 = sampler.draw(
        prior, 64, observation=observed, h_transform=H_TRANSFORMS[h](prior, 1.0), seed=5
    ).x_0
    each = observed.repeat(64)
    misfit = float(each.likelihood.misfit(x_0.flatten(0, 1), each.y).square().mean().sqrt())
    error = float((x_0.mean(1) - truth).square().mean())
    return x_0, misfit, -10 * math.log10(error)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("h", "sampler"), METHODS, ids=str)
def test_half_precision_gives_the_samples_of_single(dtype, h, sampler):
    half, single = of_network(dtype), of_network(torch.float32)
    single.load_state_dict(
        {name: value.float() for name, value in half.state_dict().items()}
    )  # the weights are rounded in both
    (ours, misfit, psnr), (theirs, misfit_32, psnr_32) = (
        drawn(prior, h, SAMPLERS[sampler](prior)) for prior in (half, single)
    )
    assert ours.dtype == torch.float32
    spread = float(theirs.std())
    assert float((ours.mean() - theirs.mean()).abs()) < 0.02 * spread
    assert float(ours.std()) == pytest.approx(spread, rel=0.02)
    assert misfit == pytest.approx(misfit_32, rel=0.02, abs=0.005)
    assert psnr == pytest.approx(psnr_32, abs=0.1)
