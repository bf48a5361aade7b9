"""The backbone prior that ships: what it is, what it says of one chain, and what it draws."""

import json
from pathlib import Path

import pytest
import torch

from deft.metrics import protein
from deft.noise import Noise
from deft.priors import zoo
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.samplers.ddim import DDIM

GOLDEN = Path(__file__).parents[1] / "golden" / "backbone_128.json"
NAME = "backbone-128"


@pytest.fixture(scope="module")
def prior():
    return zoo.load(NAME)


def noisy(prior, log_snr, seeds=(0, 1)):
    """A chain of noise of the size that x_t has at this level."""
    t = prior.schedule.time(torch.tensor([log_snr]))
    sigma = float(prior.schedule.sigma(t))
    spread = (prior.scale**2 + sigma**2) ** 0.5
    return spread * prior.noise(Noise(list(seeds)), 0), t.expand(len(seeds))


def helix(length):
    """Residues 1.5 angstrom apart along the axis of an alpha helix, 100 degrees each."""
    turn = torch.arange(length) * torch.tensor(100.0).deg2rad()
    x = torch.stack([2.3 * turn.cos(), 2.3 * turn.sin(), 1.5 * torch.arange(length)], dim=-1)
    return (x - x.mean(0))[None]


def test_it_loads_and_says_what_it_is(prior):
    card = zoo.card(NAME)
    assert isinstance(prior, EquivariantBackbone)
    assert prior.event_shape == (128, 3)
    assert prior.min_length == 50
    assert prior.num_parameters < 750_000
    assert (zoo.FOLDER / f"{NAME}.safetensors").stat().st_size < 1.6e6
    assert "CC0" in card["terms"]
    lines = {"bonds", "clashes", "radius_of_gyration", "secondary_structure", "handedness"}
    assert lines | {"novelty", "passed"} == set(card["gate"])


def test_its_error_is_below_that_of_the_gaussian_chain(prior):
    for row in zoo.card(NAME)["held_out_denoising_error"]["by_noise_level"]:
        assert row["prior"] < row["gaussian_chain"]


@pytest.mark.parametrize("log_snr", [4.0, 0.0, -4.0, -9.0])
def test_it_turns_with_x_t(prior, log_snr):
    own = prior.of_length(60, 74)
    torch.manual_seed(1)
    R, _ = torch.linalg.qr(torch.randn(3, 3))
    R = R * torch.linalg.det(R)
    x_t, t = noisy(own, log_snr)
    turned, still = own.denoise(x_t @ R.T, t), own.denoise(x_t, t) @ R.T
    scale = max(1.0, float(still.abs().max()))
    torch.testing.assert_close(turned, still, rtol=0, atol=1e-4 * scale)


def test_right_handed_helices_are_at_home_and_their_mirror_images_are_not(prior):
    own, mirror = prior.of_length(56), torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    t = prior.schedule.time(torch.tensor([0.0]))
    x_0 = helix(56)
    noise = own.noise(Noise([3]), 0)
    right = (own.denoise(x_0 + noise, t) - x_0).square().sum(-1).mean().sqrt()
    left = (own.denoise((x_0 + noise) @ mirror, t) - x_0 @ mirror).square().sum(-1).mean().sqrt()
    assert float(left) > 1.2 * float(right)


def test_the_same_design_in_any_batch(prior):
    sampler = DDIM(steps=6, eta=1.0)
    alone = sampler.run(prior.of_length(52), Noise([7]))
    together = sampler.run(prior.of_length(60, 52), Noise([4, 7]))
    torch.testing.assert_close(together[1, :52], alone[0], rtol=0, atol=2e-3)


def test_what_it_says_and_draws_is_what_it_said_and_drew(prior):
    """A network of the same weights that computes something else is noticed: x_0_hat of one x_t to
    0.01 angstrom, and of two short draws the size and the bonds.
    """
    golden = json.loads(GOLDEN.read_text())
    found = observed(prior)
    torch.testing.assert_close(
        torch.tensor(found["x_0_hat"]), torch.tensor(golden["x_0_hat"]), rtol=0, atol=1e-2
    )
    assert found["radius"] == pytest.approx(golden["radius"], abs=0.3)
    assert found["bonds"] == pytest.approx(golden["bonds"], abs=0.05)
    assert min(found["bonds"]) > 0.7


def observed(prior):
    """What the golden file holds."""
    own = prior.of_length(50)
    x_t, t = noisy(own, -1.0, (5,))
    x = DDIM(steps=20).run(prior.of_length(50, 54), Noise([1, 2]))
    mask = torch.arange(54) < torch.tensor([50, 54])[:, None]
    return {
        "x_0_hat": [[round(float(v), 4) for v in row] for row in own.denoise(x_t, t)[0, ::10]],
        "radius": protein.radius_of_gyration(x, mask).tolist(),
        "bonds": protein.bonds(x, mask).tolist(),
    }
