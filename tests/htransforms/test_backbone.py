"""The learned h-transform of backbones: exact on a Gaussian chain before it is trained; blind to
the frame of the motif; turned with the chain, not mirrored; the same in any batch.
"""

from pathlib import Path

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.backbone import BackboneHTransform, residues
from deft.htransforms.exact_chain import ExactChain
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators import AlignedMotif, Identity
from deft.posterior import Posterior
from deft.priors.backbone import BackbonePrior
from deft.priors.chain_spectrum import ChainSpectrum
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.priors.gaussian_chain import GaussianChain
from deft.samplers.ddim import DDIM
from deft.schedules import VE, VPLinear
from deft.training import checkpoint
from tests.htransforms.test_exact_chain import motifs
from tests.priors.test_gaussian_chain import DOUBLE, ROTATION, chain

KINDS = ({}, {"bonds": True}, {"bonds": True, "blocks": 1, "nearest": 4})


def made(prior, trained=True, **more):
    torch.manual_seed(0)
    sizes = {"width": 12, "blocks": 2, "heads": 2, "pair": 8, "window": 2, "told": 8}
    h = BackboneHTransform(prior.scale, **(sizes | more)).to(prior.dtype)
    if trained:
        for parameter in h.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return h.requires_grad_(False)


def shifts(h, prior, observation, seed=3, t=0.4, turn=None):
    x_t = prior.initial(Noise(range(seed, seed + len(observation)), dtype=DOUBLE))
    x_t = x_t if turn is None else x_t @ turn.mT
    with torch.no_grad():
        return Posterior(prior, h, observation).parts(x_t, torch.tensor([t], dtype=DOUBLE))[1]


@pytest.mark.parametrize("point", ["x_t", "pivot"])
@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
def test_untrained_it_is_exact_for_a_gaussian_chain(t, point):
    """E[x_0 | x_t, y], wherever the prior is asked."""
    prior = chain(12)
    observation = motifs(prior, 3)
    h = made(prior, trained=False, spectrum=prior.spectrum, point=point)
    x_t = prior.initial(Noise(range(3), dtype=DOUBLE))
    t = torch.tensor([t], dtype=DOUBLE)
    found, exact = (
        Posterior(prior, each, observation).denoise(x_t, t) for each in (h, ExactChain(prior))
    )
    size = float((exact - prior.denoise(x_t, t)).abs().max())
    assert size > 0.1
    torch.testing.assert_close(found, exact, rtol=0, atol=2e-3 * size)
    assert (h.point(prior, x_t, t, observation)[0] is x_t) == (point == "x_t")


def test_an_aligned_motif_is_placed_by_x_t_where_there_is_little_noise():
    prior = GaussianChain(12, schedule=VE(0.05, 80.0)).double()
    observation, h = motifs(prior, 2, frame="aligned"), made(prior, point="pivot")
    for sigma, moves in ((0.5, True), (1.9, True), (2.1, False), (30.0, False)):
        t = prior.schedule.time(torch.tensor([-2.0], dtype=DOUBLE) * torch.tensor(sigma).log())
        x_t = prior.sample(Noise([1, 2], dtype=DOUBLE))
        there, same = h.point(prior, x_t, t, observation)
        assert same is t
        assert bool((there != x_t).any()) == moves
        assert shifts(h, prior, observation, t=float(t)).isfinite().all()


def test_at_the_pivot_it_does_not_depend_on_the_frame_either():
    prior = GaussianChain(12, schedule=VE(0.05, 80.0)).double()
    h, observation = made(prior, point="pivot"), motifs(prior, 2, frame="aligned")
    elsewhere = Observation(observation.y @ ROTATION.mT - 6.0, observation.likelihood)
    x_t, t = prior.sample(Noise([4, 5], dtype=DOUBLE)), torch.tensor([0.3], dtype=DOUBLE)
    one, other = (Posterior(prior, h, o).denoise(x_t, t) for o in (observation, elsewhere))
    turned = Posterior(prior, h, observation).denoise(x_t @ ROTATION.mT, t)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-7)
    torch.testing.assert_close(turned, one @ ROTATION.mT, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_does_not_depend_on_the_frame_of_the_motif(kind):
    prior = chain(12)
    h, observation = made(prior, **kind), motifs(prior, 2, frame="aligned")
    moved = observation.y @ ROTATION.mT + torch.tensor([4.0, -9.0, 30.0], dtype=DOUBLE)
    elsewhere = Observation(moved, observation.likelihood)
    one, other = (shifts(h, prior, seen) for seen in (observation, elsewhere))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_turns_with_the_chain_and_is_no_mirror(kind):
    prior = chain(12)
    h, observation = made(prior, **kind), motifs(prior, 2, frame="aligned")
    still, turned = (shifts(h, prior, observation, turn=R) for R in (None, ROTATION))
    torch.testing.assert_close(turned, still @ ROTATION.mT, rtol=0, atol=1e-7)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=DOUBLE))
    reflected = Observation(observation.y @ mirror, observation.likelihood)
    gap = shifts(h, prior, reflected, turn=mirror) - still @ mirror
    assert float(gap.abs().max()) > 1e-3


def test_groups_move_apart_from_each_other():
    """Each group is known up to a motion of its own: moving one alone changes nothing."""
    prior = GaussianChain(14).double()
    index = torch.tensor([[1, 2, 3, 4, 8, 9, 10, 11]])
    group = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    likelihood = GaussianLikelihood(AlignedMotif(index, group, 14), 0.2)
    y = likelihood.sample(prior.sample(Noise([5], dtype=DOUBLE)), Noise([6], dtype=DOUBLE))
    moved = y.clone()
    moved[:, 4:] = moved[:, 4:] @ ROTATION.mT + 7.0
    h = made(prior)
    one, other = (shifts(h, prior, Observation(seen, likelihood)) for seen in (y, moved))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-7)
    together = GaussianLikelihood(AlignedMotif(index, None, 14), 0.2)
    gap = shifts(h, prior, Observation(moved, together)) - one
    assert float(gap.abs().max()) > 1e-2


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_same_in_any_batch_and_padding(kind):
    prior = GaussianChain(16, schedule=VE(0.05, 80.0)).double()
    h, index = made(prior, **kind), torch.tensor([[2, 3, 4, 5]])
    y = 4 * torch.randn(1, 4, 3, dtype=DOUBLE)

    def shift(lengths, seeds):
        n = len(lengths)
        own = prior.of_length(*lengths)
        operator = AlignedMotif(index.expand(n, -1), None, max(lengths))
        seen = Observation(y.expand(n, -1, -1), GaussianLikelihood(operator, 0.1))
        x_t = own.initial(Noise(seeds, dtype=DOUBLE))
        with torch.no_grad():
            return Posterior(own, h, seen).parts(x_t, torch.tensor([0.5], dtype=DOUBLE))[1]

    alone, together = shift([9], [3]), shift([14, 9], [8, 3])
    torch.testing.assert_close(together[1, :9], alone[0], rtol=0, atol=1e-7)
    assert (together[1, 9:] == 0).all()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_nothing_is_said_of_a_motif_without_noise_that_is_not_finite(kind):
    prior = chain(12)
    for t in (0.0, 1.0):
        assert (
            shifts(made(prior, **kind), prior, motifs(prior, 2, sigma_y=0.0), t=t).isfinite().all()
        )


def test_a_motif_is_met_where_it_was_measured_exactly():
    """Samples of the untrained h on its own Gaussian chain have the motif that was seen."""
    prior = GaussianChain(12, schedule=VE(0.02, 80.0)).double()
    observation = motifs(prior, 2, sigma_y=0.02, frame="aligned")
    posterior = Posterior(prior, made(prior, trained=False), observation)
    x_0 = DDIM(steps=30).run(posterior, Noise([1, 2], dtype=DOUBLE))
    assert float(observation.residual(x_0).abs().max()) < 0.2


@pytest.mark.parametrize("fraction", [0.04, 0.09, 0.25])
def test_it_is_sized_by_the_prior(fraction):
    with torch.device("meta"):
        prior = EquivariantBackbone(128, VE(0.02, 160.0))
    size = prior.num_parameters
    prior = _Sized(size)
    made_for = BackboneHTransform.for_prior(prior, fraction=fraction)
    assert abs(made_for.num_parameters / size / fraction - 1) < 0.15


class _Sized(BackbonePrior):
    """A prior that says how many parameters it has, and nothing else."""

    scale = 8.0

    def __init__(self, parameters):
        super().__init__(128)
        self.schedule, self.count = VE(), parameters

    @property
    def num_parameters(self):
        return self.count

    def estimate(self, x_t, t, mask):
        raise AssertionError


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_not_finite_stays_so(kind):
    """A sampler says so then; an error of the linear algebra would say nothing of the signal."""
    prior = chain(12)
    posterior = Posterior(prior, made(prior, **kind), motifs(prior, 2))
    x_t = prior.initial(Noise([1, 2], dtype=DOUBLE))
    x_t[0] = torch.nan
    found = posterior.denoise(x_t, torch.tensor([0.4], dtype=DOUBLE))
    assert found[0].isnan().any()
    assert found[1].isfinite().all()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients_reach_every_parameter_and_not_the_prior(kind):
    prior = EquivariantBackbone(
        12, VE(0.02, 80.0), width=8, blocks=1, heads=1, pair=4, window=2
    ).frozen()
    h = made(prior, **kind).requires_grad_()
    observation = motifs(GaussianChain(12), 2, frame="aligned")
    observation = observation.in_dtype(torch.float32)
    x_t = prior.initial(Noise([0, 1]))
    Posterior(prior, h, observation).denoise(x_t, torch.tensor([0.5])).square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in h.parameters())
    assert sum(bool(p.grad.any()) for p in h.parameters()) > 0.9 * len(list(h.parameters()))
    assert all(p.grad is None for p in prior.parameters())


def test_a_round_trip_through_a_file(tmp_path: Path):
    prior = chain(12)
    h = made(prior, spectrum=ChainSpectrum(bond=3.0), point="pivot", bonds=True, nearest=5)
    checkpoint.save(tmp_path / "h.safetensors", h, prior, {"problem": None})
    same, _ = checkpoint.load(tmp_path / "h.safetensors", prior)
    assert isinstance(same, BackboneHTransform)
    assert same.where == "pivot"
    assert same.bonds
    assert same.nn1.nearest == 5
    observation = motifs(prior, 1)
    one, other = (shifts(k, prior, observation) for k in (h, same.double()))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_what_it_does_not_read_is_refused():
    prior = chain(12)
    observation = motifs(prior, 1, frame="aligned")
    likelihood = GaussianLikelihood(Identity(), 0.1)
    whole = Observation(torch.zeros(1, 12, 3, dtype=DOUBLE), likelihood)
    with pytest.raises(InvalidInput, match="reads motifs"):
        Posterior(prior, made(prior), whole)
    with pytest.raises(InvalidInput, match="12 places"):
        Posterior(chain(10), made(prior), observation)
    from tests.training import small

    with pytest.raises(InvalidInput, match="reads chains"):
        BackboneHTransform.for_prior(small.prior())
    with pytest.raises(InvalidInput, match="fraction"):
        BackboneHTransform.for_prior(prior, fraction=0.0)


def test_residues_are_where_the_estimate_is_not_zero():
    x = torch.randn(2, 6, 3)
    x[0, 4:], x[1, 2] = 0, 0
    assert residues(x)[0].tolist() == [True] * 4 + [False] * 2
    assert residues(x)[1].all()


def test_it_moves_the_neighbours_of_the_motif_with_it():
    """Where the white guidance would tear the chain at the ends of the motif."""
    prior = GaussianChain(20, schedule=VPLinear()).double()
    index = torch.arange(8, 13)[None]
    likelihood = GaussianLikelihood(AlignedMotif(index, None, 20), 0.01)
    y = prior.sample(Noise([3], dtype=DOUBLE))[:, 8:13]
    found = shifts(made(prior, trained=False), prior, Observation(y, likelihood), t=0.6)[0]
    length = found.norm(dim=-1)
    assert float(length[7]) > 0.3 * float(length[8])
    assert float(length[13]) > 0.3 * float(length[12])
