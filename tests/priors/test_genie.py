import copy
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import deft
from deft.errors import CheckpointError, InvalidInput
from deft.htransforms.backbone import BackboneHTransform
from deft.networks.genie import GenieNetwork, Sizes
from deft.noise import Noise
from deft.priors import genie
from deft.priors.details import Details
from deft.priors.genie import GeniePrior
from deft.problems.motif import MotifScaffolding
from deft.samplers.ddim import DDIM
from deft.training.chains import Chains
from tests.contracts.prior import PriorContract
from tests.networks.genie.test_network import GOLDEN, TINY, tiny
from tests.storage.test_lightning import old

CONFIGURATION = (GOLDEN / "genie_tiny.configuration").read_text()
WEIGHTS = load_file(GOLDEN / "genie_tiny.safetensors")
KNOWN = load_file(GOLDEN / "genie_tiny.io.safetensors")


def checkpoint(folder: Path, weights=WEIGHTS, configuration: str | None = CONFIGURATION) -> Path:
    """A file as Lightning writes it, beside its configuration."""
    content = {
        "epoch": 2,
        "global_step": 10,
        "pytorch-lightning_version": "1.4.9",
        "state_dict": dict(weights),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}}],
    }
    torch.save(content, folder / "epoch=2.ckpt")
    if configuration is not None:
        (folder / "configuration").write_text(configuration)
    return folder / "epoch=2.ckpt"


def prior():
    return GeniePrior(tiny())


def turned(x, seed=0):
    """Rotated and moved by 20 angstrom, and how."""
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)))[0]
    turn = turn * torch.linalg.det(turn)
    return x @ turn.T, turn


class TestPrior(PriorContract):
    def prior(self):
        return prior().double()


class TestShortChains(PriorContract):
    def prior(self):
        return prior().double().of_length(11)


def test_the_numbers_of_the_original_through_the_prior():
    """x_0_hat loses a factor 1 / alpha of the precision: the noise is compared."""
    mask = KNOWN["mask"].bool()
    known = KNOWN["x_t"] - KNOWN["output_trans"]
    found = prior().given(mask=mask).at(KNOWN["x_t"], KNOWN["timesteps"].double() / 999).eps_hat
    torch.testing.assert_close(found[mask], known[mask], rtol=0, atol=1e-5)


def test_the_schedule_of_the_original():
    alpha = genie.schedule().alpha(torch.arange(1000, dtype=torch.float64) / 999)
    known = KNOWN["alphas_cumprod"].double()
    torch.testing.assert_close(alpha**2, known, rtol=0, atol=1e-6)  # which is in single precision
    ends = [math.cos(math.pi / 2 * i / 1001) for i in (1, 1000)]
    assert [float(alpha[0]), float(alpha[-1])] == pytest.approx(ends, rel=1e-6)
    sigma = genie.schedule().sigma(torch.tensor([0.0, 500 / 999], dtype=torch.float64))
    assert (sigma / alpha[[0, 500]]).tolist() == pytest.approx([0.00157, 1.0], abs=2e-3)


class TestLoad:
    def same(self, found):
        assert found.identity() | {"name": ""} == prior().identity() | {"name": ""}
        x_t, t = torch.randn(1, 32, 3), torch.tensor([0.4])
        torch.testing.assert_close(found.denoise(x_t, t), prior().denoise(x_t, t))

    def test_a_checkpoint_of_lightning_beside_its_configuration(self, tmp_path):
        found = genie.load(checkpoint(tmp_path))
        self.same(found)
        assert (found.max_length, found.name) == (32, "epoch=2")
        assert not found.centred

    def test_where_training_leaves_it(self, tmp_path):
        folder = tmp_path / "run" / "version_0" / "checkpoints"
        folder.mkdir(parents=True)
        path = checkpoint(folder, configuration=None)
        (tmp_path / "run" / "configuration").write_text(CONFIGURATION)
        self.same(genie.load(path))

    @pytest.mark.parametrize("prefix", ["", "model.", "module.", "model.module.", "module.model."])
    def test_prefixes(self, tmp_path, prefix):
        weights = {prefix + name.removeprefix("model."): v for name, v in WEIGHTS.items()}
        self.same(genie.load(checkpoint(tmp_path, weights)))

    def test_an_old_file_with_classes(self, tmp_path):
        (tmp_path / "configuration").write_text(CONFIGURATION)
        self.same(genie.load(old(tmp_path / "w.ckpt", WEIGHTS)))

    def test_weights_alone_and_a_configuration_elsewhere(self, tmp_path):
        save_file(WEIGHTS, tmp_path / "w.safetensors")
        (tmp_path / "elsewhere.txt").write_text(CONFIGURATION)
        self.same(genie.load(tmp_path / "w.safetensors", tmp_path / "elsewhere.txt"))
        torch.save(WEIGHTS, tmp_path / "w.pt")
        (tmp_path / "w.configuration").write_text(CONFIGURATION)
        self.same(genie.load(tmp_path / "w.pt"))

    def test_by_the_content_of_its_configuration_out_of_a_card(self, tmp_path):
        save_file(WEIGHTS, tmp_path / "w.safetensors")
        (tmp_path / "elsewhere.txt").write_text(CONFIGURATION)
        card = Details(config=str(tmp_path / "elsewhere.txt")).card()
        (tmp_path / "elsewhere.txt").unlink()
        self.same(deft.priors.load(tmp_path / "w.safetensors", details=Details.of_card(card)))
        wrong = Details.of_card({"config": {**card["config"], "numTimesteps": "many"}})
        with pytest.raises(CheckpointError, match=r"details\.config: numTimesteps"):
            deft.priors.load(tmp_path / "w.safetensors", details=wrong)

    def test_by_its_file(self, tmp_path):
        self.same(deft.priors.load(checkpoint(tmp_path)))

    def test_in_half_precision(self, tmp_path):
        found = genie.load(checkpoint(tmp_path), dtype=torch.bfloat16)
        x_0_hat = found.denoise(torch.randn(1, 32, 3), torch.tensor([0.4]))
        assert (found.network_dtype, x_0_hat.dtype) == (torch.bfloat16, torch.float32)

    def test_triangular_attention_and_blocks(self, tmp_path):
        sizes = Sizes(**{**vars(TINY), "attending": 2, "attended": 3, "blocks": 2, "most": 24})
        network = GenieNetwork(sizes)
        more = {
            "maximumNumResidues 32": "maximumNumResidues 24",
            "pairTransitionN 2": "pairTransitionN 2\nincludeTriangularAttention True\n"
            "triangularAttentionHiddenDimension 3\ntriangularAttentionNumHeads 2\n"
            "numStructureBlocks 2",
        }
        said = CONFIGURATION
        for line, other in more.items():
            assert line in said
            said = said.replace(line, other)
        found = genie.load(checkpoint(tmp_path, network.state_dict(), said))
        assert found.network.sizes == sizes
        x_t, t = torch.randn(1, 24, 3), torch.tensor([0.4])
        torch.testing.assert_close(found.denoise(x_t, t), GeniePrior(network).denoise(x_t, t))

    def test_the_published_sizes(self, tmp_path):
        """All 325 tensors of scope_l_128, with the lines of its configuration."""
        lines = (GOLDEN / "genie_scope_128_keys.txt").read_text().split("\n")[:-1]
        shapes = {name: map(int, sizes.split("x")) for name, sizes in (li.split() for li in lines)}
        weights = {name: torch.zeros(*sizes) for name, sizes in shapes.items()}
        said = "name scope_l_128_p_5\nmaximumNumResidues 128\nnumPairTransformLayers 5\n"
        path = checkpoint(tmp_path, weights, said + "includeTriangularAttention False\n")
        found = genie.load(path)
        assert found.num_parameters == 4_087_574
        assert found.network.sizes == Sizes()
        assert 7.9 < found.scale < 8.1  # angstrom: compact chains of 128 residues


class TestRefused:
    def test_no_configuration(self, tmp_path):
        path = checkpoint(tmp_path, configuration=None)
        with pytest.raises(InvalidInput, match="also maximumNumResidues") as caught:
            genie.load(path)
        assert "--details.config" in caught.value.advice
        with pytest.raises(InvalidInput, match=r"details\.config"):
            genie.load(path, tmp_path / "nowhere")

    def test_weights_that_are_missing_more_and_of_another_shape(self, tmp_path):
        less = {name: v for name, v in WEIGHTS.items() if "tri_mul_in.linear_z" not in name}
        with pytest.raises(CheckpointError, match=r"missing 4: .*linear_z\.weight \(16, 12\)"):
            genie.load(checkpoint(tmp_path, less))
        more = {**WEIGHTS, "model.head.weight": torch.zeros(2, 3)}
        with pytest.raises(CheckpointError, match=r"not of this network 1: head\.weight \(2, 3\)"):
            genie.load(checkpoint(tmp_path, more))
        name = "model.structure_net.net.1.ipa.linear_out.weight"
        other = {**WEIGHTS, name: torch.zeros(24, 3)}
        with pytest.raises(CheckpointError, match=r"linear_out\.weight should be \(24, 120\)"):
            genie.load(checkpoint(tmp_path, other))

    def test_the_first_five_are_named(self, tmp_path):
        less = {name: v for name, v in WEIGHTS.items() if ".net.1.tri_mul_out" not in name}
        with pytest.raises(CheckpointError, match="missing 16: ") as caught:
            genie.load(checkpoint(tmp_path, less))
        assert caught.value.what.count("tri_mul_out") == 5

    @pytest.mark.parametrize("name", ["single_feature_net.linear.weight", "x"])
    def test_another_network(self, tmp_path, name):
        with pytest.raises(CheckpointError, match="expected the weights of Genie"):
            genie.load(checkpoint(tmp_path, {name: torch.zeros(2, 2)}))

    def test_weights_that_are_not_finite_or_no_real_numbers(self, tmp_path):
        name = "model.structure_net.net.1.bb_update.linear.bias"
        with pytest.raises(CheckpointError, match=r"NaN.*bb_update"):
            genie.load(checkpoint(tmp_path, {**WEIGHTS, name: torch.full((6,), math.nan)}))
        with pytest.raises(CheckpointError, match="one precision"):
            genie.load(checkpoint(tmp_path, {**WEIGHTS, name: torch.zeros(6, dtype=torch.long)}))

    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("structure_net.net.0.ipa.head_weights", (0,)),
            ("structure_net.net.0.ipa.head_weights", (3, 1)),
            ("structure_net.net.0.ipa.linear_q.weight", (25, 24)),
            ("structure_net.net.0.ipa.linear_kv_points.weight", (18, 24)),
            ("pair_feature_net.linear_relpos.weight", (0, 17)),
            ("pair_feature_net.linear_relpos.weight", (16, 18)),
            ("single_feature_net.linear.weight", (24, 0)),
        ],
    )
    def test_shapes_of_no_network(self, tmp_path, name, shape):
        with pytest.raises(CheckpointError):
            genie.load(checkpoint(tmp_path, {**WEIGHTS, f"model.{name}": torch.zeros(shape)}))

    def test_a_scale_of_nothing(self):
        with pytest.raises(InvalidInput, match="scale"):
            GeniePrior(tiny(), scale=0.0)


class TestSymmetry:
    """Of the noise: x_0_hat(R x + c) = R x_0_hat(x) + c / alpha."""

    def given(self):
        mask = torch.arange(32) < torch.tensor([[32], [20]])
        return prior().given(mask=mask), 6 * torch.randn(2, 32, 3), torch.tensor([0.1, 0.6])

    def test_it_turns_and_moves_with_the_chain(self):
        one, x_t, t = self.given()
        there, turn = turned(x_t)
        moved = there + torch.tensor([20.0, -5.0, 3.0])
        eps = one.at(x_t, t).eps_hat
        exists = one.mask[..., None]
        torch.testing.assert_close(
            exists * one.at(moved, t).eps_hat, exists * (eps @ turn.T), rtol=0, atol=1e-4
        )

    def test_mirror_images_are_told_apart(self):
        one, x_t, t = self.given()
        mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
        eps, other = one.at(x_t, t).eps_hat, one.at(x_t @ mirror, t).eps_hat
        assert (other - eps @ mirror).abs().max() > 0.1

    def test_what_stands_at_padding_does_not_matter(self):
        one, x_t, t = self.given()
        other = x_t.clone()
        other[1, 20:] += 100.0
        torch.testing.assert_close(one.denoise(x_t, t), one.denoise(other, t))
        assert (one.denoise(x_t, t)[1, 20:] == 0).all()

    def test_its_gradient_is_finite_and_stays_within_the_chain(self):
        one, x_t, t = self.given()
        x_t[0, 4] = x_t[0, 5]  # two atoms in one place
        denoised = one.at(x_t.requires_grad_(), t)
        gradient = denoised.gradient(denoised.x_0_hat.square().sum((1, 2)))
        assert gradient.isfinite().all()
        assert (gradient[1, 20:] == 0).all()
        assert (gradient[1, :20] != 0).all()


class TestDesigns:
    def test_the_same_in_any_batch(self):
        sampler, seeds = DDIM(steps=4, eta=1.0), [7, 8, 9]
        one = prior().double()
        together = sampler(one.of_length(20, 32, 9), seed=seeds)[:, 0]
        for i, length in enumerate((20, 32, 9)):
            alone = sampler(one.of_length(length), seed=seeds[i : i + 1])[0, 0]
            torch.testing.assert_close(alone, together[i])
            assert (alone[length:] == 0).all()
            assert (alone[:length] != 0).all()

    def test_a_chain_is_padded_to_the_length_of_its_training(self):
        one = prior().of_length(12)
        assert one.event_shape == (32, 3)
        assert one.given(mask=torch.ones(12, dtype=torch.bool)).event_shape == (32, 3)
        assert one.dimensions.tolist() == [36]

    @pytest.mark.parametrize("length", [2, 33])
    def test_lengths_that_it_does_not_know(self, length):
        with pytest.raises(InvalidInput, match="3 to 32 residues"):
            prior().of_length(length)


class TestMotifs:
    """A learned h-transform on it, as on any backbone prior."""

    def test_training_and_designs_around_a_motif(self):
        one = prior()
        chains = [6 * torch.randn(n, 3).cumsum(0) / n**0.5 for n in (20, 32)]
        problem = MotifScaffolding(contiguous=(4, 8), share=0.0, sigma_y=0.1)
        torch.manual_seed(0)
        h = BackboneHTransform(one.scale, width=8, heads=1, pair=4, window=2, told=8)
        before = copy.deepcopy(h.state_dict())
        objective = deft.DenoisingScoreMatching(problem)
        known = {name: value.clone() for name, value in one.state_dict().items()}
        source = Chains(chains, one)
        deft.train(h, one, objective, source, steps=2, batch_size=2, progress=False)
        assert any(not torch.equal(v, before[k]) for k, v in h.state_dict().items())
        assert all(torch.equal(v, known[k]) for k, v in one.state_dict().items())  # frozen
        padded = torch.zeros(1, 32, 3)
        padded[0, :20] = chains[0] - chains[0].mean(0)
        observation = problem.draw(padded, Noise([0]))
        posterior = deft.Posterior(one.of_length(20), h.eval(), observation)
        designs = DDIM(steps=8, eta=1.0)(posterior, 2, seed=0)[0]
        assert designs.shape == (2, 32, 3)
        assert (designs[:, 20:] == 0).all()
        lacking = [observation.residual(x[None]).norm() for x in designs]
        free = DDIM(steps=8, eta=1.0)(one.of_length(20), 2, seed=0)[0]
        assert max(lacking) < 0.2 * min(observation.residual(x[None]).norm() for x in free)


def test_what_weights_do_not_say_counts_for_the_identity():
    network = tiny()
    other = copy.deepcopy(network)
    other.sizes = Sizes(**{**vars(TINY), "blocks": 2})
    assert GeniePrior(network).identity()["hash"] != GeniePrior(other).identity()["hash"]
    assert GeniePrior(network).identity() == prior().identity()
