import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from deft.errors import CheckpointError, InvalidInput
from deft.priors import edm
from deft.priors.identity import same_identity
from deft.priors.modules import module
from deft.schedules import EDM
from tests.contracts.prior import PriorContract
from tests.priors.test_gaussian_mixture import mixture

SHAPE = (2, 2)


class Denoiser(nn.Module):
    """D(x; sigma) of a mixture, in double precision."""

    def __init__(self):
        super().__init__()
        self.reference = mixture(EDM())

    def forward(self, x, sigma):
        return self.reference.denoise(x, self.reference.schedule.time(-2 * sigma.log()))


class Raw(nn.Module):
    """The F of that D: (D - c_skip x) / c_out, from c_in x and c_noise."""

    def __init__(self, s):
        super().__init__()
        self.denoiser, self.s = Denoiser(), s

    def forward(self, given, c_noise):
        sigma = (4 * c_noise).exp()
        v, s = sigma[:, None, None], self.s
        x = given * (v**2 + s**2).sqrt()
        c_skip, c_out = s**2 / (v**2 + s**2), v * s / (v**2 + s**2).sqrt()
        return (self.denoiser(x, sigma) - c_skip * x) / c_out


class Small(nn.Module):
    """A random network told a level, in whatever precision its weights are."""

    def __init__(self):
        super().__init__()
        self.x, self.t = nn.Linear(4, 4), nn.Linear(1, 4)

    def forward(self, x, level):
        told = self.t(level[:, None].to(self.t.weight.dtype))
        return torch.tanh(self.x(x.flatten(1)) + told).view_as(x)


class _Contract(PriorContract):
    def noisy(self, prior, n=3):
        x_t, t = super().noisy(prior, n)
        return x_t.double(), t


class TestDenoiser(_Contract):
    def prior(self):
        return edm.around(Denoiser(), SHAPE, told="sigma", sigma_min=0.02)


class TestRaw(_Contract):
    def prior(self):
        return edm.around(Raw(0.7), SHAPE, told="c_noise", sigma_data=0.7, sigma_min=0.02)


@pytest.mark.parametrize("s", [0.3, 0.5, 2.0])
def test_the_preconditioning_is_that_of_the_paper(s):
    """F and D are one denoiser, at every level, whatever sigma_data the network was made with."""
    raw = edm.around(Raw(s), SHAPE, told="c_noise", sigma_data=s)
    denoiser = edm.around(Denoiser(), SHAPE, told="sigma")
    x_t = torch.randn(4, *SHAPE, dtype=torch.float64)
    for level in (0.0, 0.2, 0.6, 1.0):
        t = torch.full((4,), level, dtype=torch.float64)
        torch.testing.assert_close(raw.denoise(x_t, t), denoiser.denoise(x_t, t))
    other = edm.around(Raw(s), SHAPE, told="c_noise", sigma_data=s + 0.1)
    assert not torch.allclose(other.denoise(x_t, t * 0.3), denoiser.denoise(x_t, t * 0.3))


def test_what_is_told_and_sigma_data_are_part_of_the_identity():
    torch.manual_seed(0)
    network = Small()
    first = edm.around(network, SHAPE, told="c_noise").identity()
    for changes in ({"told": "sigma"}, {"told": "c_noise", "sigma_data": 0.6}):
        assert same_identity(edm.around(network, SHAPE, **changes).identity(), first)
    assert not same_identity(edm.around(network, SHAPE, told="c_noise").identity(), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_network_comes_back_from_its_weights(tmp_path, dtype, suffix):
    network, path = Small().to(dtype), tmp_path / f"w{suffix}"
    state = network.state_dict()
    torch.save(state, path) if suffix == ".pt" else save_file(state, path)
    prior = edm.load(path, Small().to(dtype), SHAPE, told="c_noise")
    assert prior.network_dtype == dtype
    x_t = torch.randn(2, *SHAPE)
    for sigma in (0.01, 0.5, 20.0):
        t = prior.schedule.time(torch.full((2,), -2.0) * torch.tensor(sigma).log())
        v = prior.schedule.sigma(t)[:, None, None]
        with torch.no_grad():
            f = network((x_t / (0.25 + v**2).sqrt()).to(dtype), v.flatten().log() / 4).float()
        expected = (0.25 * x_t + 0.5 * v * (0.25 + v**2).sqrt() * f) / (0.25 + v**2)
        torch.testing.assert_close(prior.denoise(x_t, t), expected, rtol=1e-5, atol=1e-5)


def test_a_pickle_of_the_original_is_refused_with_how_to_convert_it(tmp_path):
    path = tmp_path / "edm-cifar10.pkl"
    path.write_bytes(pickle.dumps({"ema": "torch_utils.persistence", "x": 1}))
    for call in (edm.refuse_pickle, lambda p: edm.load(p, Small(), SHAPE, told="sigma")):
        with pytest.raises(InvalidInput, match=r"source code.*net\.state_dict\(\).*edm\.load"):
            call(path)


def test_errors(tmp_path):
    for changes, match in (
        ({"told": "t"}, "told"),
        ({"told": "sigma", "sigma_data": 0.0}, "sigma_data"),
        ({"told": "sigma", "sigma_min": 3.0, "sigma_max": 2.0}, "sigma_min"),
    ):
        with pytest.raises(InvalidInput, match=match):
            edm.around(Small(), SHAPE, **changes)
    with pytest.raises(InvalidInput, match=r"torch\.nn\.Module"):
        module(lambda x, t: x)
    torch.save({"x.weight": torch.zeros(4, 4)}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"missing 3: x\.bias \(4,\), t\.weight \(4, 1\)"):
        edm.load(tmp_path / "w.pt", Small(), SHAPE, told="sigma")
