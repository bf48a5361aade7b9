import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from deft.errors import CheckpointError, InvalidInput
from deft.priors import denoising_diffusion_pytorch as ddp
from deft.schedules import VPTabulated
from tests.contracts.prior import PriorContract

BETAS = torch.linspace(1e-3, 0.15, 100, dtype=torch.float64)
SAID = {"image_size": 8, "prediction_type": "v_prediction", "value_range": (-1.0, 1.0)}


class _Attention(nn.Module):
    def __init__(self, heads, dim_head, full):
        super().__init__()
        self.mem_kv = nn.Parameter(torch.randn(2, heads, 4, dim_head))
        self.to_out = nn.Conv2d(4, 4, 1) if full else nn.Sequential(nn.Conv2d(4, 4, 1))


class Unet(nn.Module):
    """Stands in for the package's: the weights that its arguments are read from, and a function of
    x_t and the entry of the table."""

    def __init__(self, dim, init_dim, dim_mults, channels, attn_heads, attn_dim_head, full_attn):
        super().__init__()
        self.channels = channels
        self.init_conv = nn.Conv2d(channels, init_dim, 7, padding=3)
        self.time_mlp = nn.Sequential(nn.Identity(), nn.Linear(dim, 4 * dim))
        self.mid_attn = _Attention(attn_heads, attn_dim_head, True)
        self.downs = nn.ModuleList()
        for i, (m, full) in enumerate(zip(dim_mults, full_attn)):
            down = nn.Conv2d(2, dim * m, 1)
            last = down if i == len(dim_mults) - 1 else nn.Sequential(nn.Identity(), down)
            attention = _Attention(attn_heads, attn_dim_head, full)
            self.downs.append(nn.ModuleList([nn.Identity(), nn.Identity(), attention, last]))
        self.final_conv = nn.Conv2d(init_dim, channels, 1)

    def forward(self, x, time, x_self_cond=None):
        return self.final_conv(torch.tanh(self.init_conv(x) + 0.01 * time[:, None, None, None]))


def trained(path, unet, **changes):
    """What its Trainer saves: the last weights, and the averaged ones, which are `unet`'s."""
    state = {"betas": BETAS.float(), **{f"model.{n}": v for n, v in unet.state_dict().items()}}
    content = {
        "step": 3,
        "model": {n: torch.zeros_like(v) if n != "betas" else v for n, v in state.items()},
        "opt": {"state": {}},
        "ema": {"initted": torch.tensor(True), **{f"ema_model.{n}": v for n, v in state.items()}},
        "scaler": None,
        "version": "2.3.4",
    }
    torch.save({**content, **changes}, path)
    return path


def unet():
    torch.manual_seed(0)
    return Unet(4, 6, (1, 2), 1, 2, 8, (False, True))


class TestPrior(PriorContract):
    tolerance = 1e-5  # single precision

    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path, monkeypatch):
        package = ModuleType(ddp.PACKAGE)
        package.Unet = Unet
        monkeypatch.setitem(sys.modules, ddp.PACKAGE, package)
        self.path = trained(tmp_path / "model-3.pt", unet())

    def prior(self):
        return ddp.load(self.path, **SAID)

    def test_it_is_the_averaged_network_with_its_own_arguments_and_betas(self):
        prior, network = self.prior(), unet()
        assert isinstance(prior.schedule, VPTabulated)
        torch.testing.assert_close(prior.schedule.betas, BETAS, rtol=1e-6, atol=0)
        x_t = torch.randn(2, 1, 8, 8)
        for k in (0, 40, 99):
            with torch.no_grad():
                v = network(x_t, torch.full((2,), k))
            alpha_2 = float((1 - BETAS.float().double())[: k + 1].prod())
            expected = alpha_2**0.5 * x_t - (1 - alpha_2) ** 0.5 * v
            x_0_hat = prior.denoise(x_t, torch.full((2,), k / 99, dtype=torch.float64))
            torch.testing.assert_close(x_0_hat, expected, rtol=0, atol=1e-5)

    def test_the_arguments_are_those_of_the_shapes(self):
        said = ddp.arguments_of(self.path, unet().state_dict())
        assert said == {
            "dim": 4,
            "init_dim": 6,
            "dim_mults": (1, 2),
            "channels": 1,
            "attn_heads": 2,
            "attn_dim_head": 8,
            "full_attn": (False, True),
        }

    def test_what_is_said_nowhere_is_named(self):
        for name in SAID:
            with pytest.raises(InvalidInput, match=f"also {name}: not in the file"):
                ddp.load(self.path, **{**SAID, name: None})

    def test_weights_that_do_not_fit(self, tmp_path):
        network = unet()
        network.more = nn.Linear(1, 1)
        with pytest.raises(CheckpointError, match=r"not of this network 2: more\.weight \(1, 1\)"):
            ddp.load(trained(tmp_path / "w.pt", network), **SAID)
        network = unet()
        del network.mid_attn
        with pytest.raises(CheckpointError, match="mid_attn"):
            ddp.load(trained(tmp_path / "w.pt", network), **SAID)

    def test_a_network_that_reads_its_own_estimate_is_refused(self, tmp_path):
        network = unet()
        network.init_conv = nn.Conv2d(2, 6, 7)
        with pytest.raises(InvalidInput, match="2 channels in and 1 out"):
            ddp.load(trained(tmp_path / "w.pt", network), **SAID)


def test_the_package_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, ddp.PACKAGE, None)
    with pytest.raises(InvalidInput, match="pip install denoising-diffusion-pytorch"):
        ddp.load(trained(tmp_path / "model-3.pt", unet()), **SAID)
