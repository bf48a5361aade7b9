"""Priors in files: the same denoiser after a round trip, and clear words for damaged files."""

from pathlib import Path

import pytest
import torch

from deft import priors
from deft.errors import CheckpointError, InvalidInput
from deft.priors import resolve, zoo
from deft.priors.unet import UNetPrior
from deft.schedules import EDM, VE, RectifiedFlow, Schedule, VPCosine, VPLinear, VPTabulated


def _prior(schedule: Schedule) -> UNetPrior:
    torch.manual_seed(0)
    prior = UNetPrior(
        (2, 8, 6),
        schedule,
        channels=(8, 8),
        blocks=1,
        patch=1,
        attention=(False, True),
        value_range=(0.0, 1.0),
        name="mine",
    )
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    prior.gaussian.fit(torch.rand(20, 2, 8, 6))
    return prior


@pytest.mark.parametrize(
    "schedule",
    [
        VPLinear(beta_max=15.0),
        VPCosine(),
        VPTabulated.linear(20),
        VE(),
        EDM(rho=5.0),
        RectifiedFlow(),
    ],
)
def test_a_round_trip_keeps_the_denoiser(tmp_path: Path, schedule: Schedule) -> None:
    prior = _prior(schedule)
    zoo.save(tmp_path / "mine.safetensors", prior, {"data": "noise"})
    same = zoo.load(tmp_path / "mine.safetensors")
    assert same.name == "mine"
    assert same.value_range == (0.0, 1.0)
    assert same.identity() == prior.identity()
    assert not any(p.requires_grad for p in same.parameters())
    assert same.dtype == torch.float32
    x_t, t = torch.randn(3, 2, 8, 6), torch.tensor([0.2, 0.5, 0.9])
    assert torch.allclose(
        same.denoise(x_t, t), prior.denoise(x_t, t), atol=5e-3
    )  # weights are in half precision
    assert zoo.card(tmp_path / "mine.safetensors")["data"] == "noise"
    assert zoo.is_prior(tmp_path / "mine.safetensors")


def test_bf16_is_the_networks_alone() -> None:
    full, half = zoo.load("digits-32"), zoo.load("digits-32", precision="bf16")
    t = torch.tensor([0.3])
    x_t = torch.randn(4, *full.event_shape)
    x_0_hat, rounded = full.denoise(x_t, t), half.denoise(x_t, t)
    unit = full.gaussian.remainder(*full.levels(x_t, t))
    assert rounded.dtype == torch.float32
    assert 1e-4 < float(((rounded - x_0_hat) / unit).std()) < 2e-2
    assert half.identity() == full.identity()
    x_t.requires_grad_()
    (gradient,) = torch.autograd.grad(half.denoise(x_t, t).square().sum(), x_t)
    (right,) = torch.autograd.grad(full.denoise(x_t, t).square().sum(), x_t)
    assert float((gradient - right).norm()) < 0.03 * float(right.norm())
    with pytest.raises(InvalidInput, match="precision: got fp16"):
        zoo.load("digits-32", precision="fp16")


def test_every_prior_that_ships_loads_and_has_a_card() -> None:
    for name in zoo.names():
        prior, card = zoo.load(name), zoo.card(name)
        assert card["hash"] == prior.identity()["hash"]
        assert {"data", "terms", "training", "held_out_denoising_error", "gate"} <= set(card)


def test_names_files_and_nonsense_resolve(tmp_path: Path) -> None:
    zoo.save(tmp_path / "mine.safetensors", _prior(VPLinear()))
    assert priors.load(tmp_path / "mine.safetensors").name == "mine"
    for name in zoo.names():
        assert resolve.load(name).name == name
    with pytest.raises(InvalidInput, match="neither one that ships"):
        resolve.load("digits")
    with pytest.raises(InvalidInput, match="no prior"):
        zoo.load("digits")


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    zoo.save(path, _prior(VPLinear()))
    whole = path.read_bytes()
    for content in (whole[:-10], whole[:50], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="mine"):
            zoo.load(path)
    with pytest.raises(CheckpointError, match="does not exist"):
        zoo.load(tmp_path / "none.safetensors")
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="no deft prior"):
        zoo.load(path)
    with pytest.raises(CheckpointError, match="no card"):
        zoo.card(tmp_path / "none.safetensors")
