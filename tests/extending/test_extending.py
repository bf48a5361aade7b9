"""What a user adds, each in one file of public names, keeps the contracts and runs from the
command line.
"""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

import deft
from deft.cli import main
from deft.operators import Identity
from deft.priors import zoo
from tests.closed_form import mixture
from tests.commands.conftest import save_images, tiny_prior
from tests.contracts.htransform import HTransformContract
from tests.contracts.prior import PriorContract
from tests.contracts.sampler import SamplerContract
from tests.extending.cloud import CloudPrior
from tests.extending.floored_pigdm import FlooredPiGDM
from tests.extending.unipc import Bh2

FILES = sorted(
    path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith(("test_", "__"))
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_public_names_alone_are_imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not any(
                part.startswith("_")
                for part in [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            )
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "deft"
        ):
            assert not node.attr.startswith("_")


class TestUniPC(SamplerContract):
    order, steps = 2, 24

    def sampler(self, steps, grid=None):
        return Bh2(steps, grid)

    def test_it_is_of_third_order_behind_its_start(self):
        """The end of the probability-flow ODE of a mixture, against 400 steps of Heun: 0.0091
        and 0.0014 at 24 and 48 evaluations, DPMSolver 0.0172 and 0.0046.
        """
        prior, grid = mixture(), deft.UniformLogSNR(high=8.0)
        truth = deft.Heun(400, grid)(prior, 64, seed=1)

        def error(sampler):
            return float((sampler(prior, 64, seed=1) - truth).square().mean().sqrt())

        coarse, fine = (error(Bh2(steps, grid)) for steps in (24, 48))
        assert coarse / fine > 5
        assert coarse < error(deft.DPMSolver(24, grid))


class TestFlooredPiGDM(HTransformContract):
    def h_transform(self, prior):
        return FlooredPiGDM(prior.scale)

    def test_without_a_floor_it_is_pigdm(self):
        prior = self.prior()
        observation = self.observation(prior, 3)
        x_t, t = (
            prior.scale * torch.randn(3, *prior.event_shape, dtype=prior.dtype),
            torch.full((1,), 0.4, dtype=torch.float64),
        )
        ours = deft.Posterior(prior, FlooredPiGDM(prior.scale), observation).parts(x_t, t)[1]
        theirs = deft.Posterior(prior, deft.PiGDM(prior.scale), observation).parts(x_t, t)[1]
        torch.testing.assert_close(ours, theirs)
        floored = deft.Posterior(prior, FlooredPiGDM(prior.scale, floor=10.0), observation).parts(
            x_t, t
        )[1]
        assert not torch.allclose(floored, theirs)


class TestCloud(PriorContract):
    tolerance = 1e-5

    def prior(self):
        return CloudPrior().given(places=torch.tensor([3]))


def test_clouds_of_several_sizes_have_the_posterior_that_is_known():
    """y = x_0 + sigma_y eps on each valid point: the posterior mean is s^2 / (s^2 + sigma_y^2) P
    y, its covariance s^2 sigma_y^2 / (s^2 + sigma_y^2) P.
    """
    prior = CloudPrior(scale=0.7).given(places=torch.tensor([3, 5]))
    sigma_y, y = 0.4, torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    assert prior.dimensions.tolist() == [6, 12]
    observation = deft.Observation(prior.projected(y), deft.GaussianLikelihood(Identity(), sigma_y))
    x_0 = deft.DPMSolver(24)(
        deft.Posterior(prior, deft.PiGDM(prior.scale), observation), 2000, seed=0
    )
    assert float((x_0 - prior.projected(x_0)).abs().max()) < 1e-5
    ratio = prior.scale**2 / (prior.scale**2 + sigma_y**2)
    torch.testing.assert_close(x_0.mean(1), ratio * prior.projected(y), rtol=0, atol=0.05)
    for cloud, places in zip(x_0, (3, 5)):
        spread = (1 - 1 / places) ** 0.5 * ratio**0.5 * sigma_y
        torch.testing.assert_close(
            cloud.std(0)[:places], torch.full((places, 3), spread), rtol=0.1, atol=0
        )
        assert float(cloud[:, places:].abs().sum()) < 1e-3


@pytest.mark.parametrize(
    "given",
    [
        [
            "--method",
            "Given",
            "--method.h_transform",
            "tests.extending.floored_pigdm.FlooredPiGDM",
            "--method.h_transform.floor",
            "0.1",
        ],
        [
            "--method",
            "Unconditional",
            "--method.sampler",
            "tests.extending.unipc.Bh2",
            "--method.sampler.steps",
            "4",
        ],
    ],
    ids=["h-transform", "sampler"],
)
def test_the_command_line_takes_it_by_its_dotted_path(given, tmp_path, capsys):
    zoo.save(tmp_path / "tiny.safetensors", tiny_prior(), {})
    images, prior = save_images(tmp_path / "images", 1), str(tmp_path / "tiny.safetensors")
    problem = ["--problem", "Inpainting", "--problem.masks", "box", "--problem.sigma_y", "0.1"]
    out = tmp_path / "samples"
    status = main(
        [
            "sample",
            "--prior",
            prior,
            *problem,
            "--images",
            str(images),
            "--samples",
            "2",
            "--out",
            str(out),
            *given,
        ]
    )
    assert status == 0, capsys.readouterr().err
    with np.load(out / "00.npz") as found:
        assert found["samples"].shape == (2, 1, 16, 16)


INPAINTING = ["--problem", "Inpainting", "--problem.masks", "half", "--problem.sigma_y", "0.1"]


def test_a_prior_of_latents_is_sampled_in_signal_space(tmp_path, capsys):
    images, out = save_images(tmp_path / "images", 2), tmp_path / "samples"
    named = ["--prior", "tests.extending.latent.grey"]
    given = ["sample", *named, *INPAINTING, "--images", str(images), "--samples", "3"]
    method = ["--method", "PiGDM", "--method.steps", "20", "--method.scale", "0.3"]
    assert main([*given, *method, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "--allow" in said
    assert "tests.extending.latent" in said
    assert not out.exists()
    allowed = ["--allow", "tests.extending.latent"]
    assert main([*given, *method, *allowed, "--out", str(out)]) == 0, capsys.readouterr().err
    with np.load(out / "00.npz") as found:
        x = found["samples"]
    assert x.shape == (3, 1, 16, 16)
    squares = x.reshape(3, 8, 2, 8, 2)
    assert np.abs(squares - squares.mean((2, 4), keepdims=True)).max() < 1e-5
    assert (out / "00-mean.png").exists()
    assert "misfit of the samples" in capsys.readouterr().out


def test_a_prior_may_be_an_object_of_a_module():
    from deft.priors.own import own
    from tests.extending import latent

    assert own("tests.extending.latent.READY", ["tests.extending"]) is latent.READY


def test_an_h_of_latents_is_trained_on_images_and_compared_on_them(tmp_path, capsys):
    images, run = save_images(tmp_path / "images", 12), tmp_path / "run"
    named = ["--prior", "tests.extending.latent.grey", "--allow", "tests.extending.latent"]
    train = ["train", *named, *INPAINTING, "--images", str(images), "--out", str(run)]
    sizes = ["--steps", "2", "--batch_size", "4", "--validation_share", "0.25"]
    assert main([*train, *sizes]) == 0, capsys.readouterr().err
    again = deft.load(run, allow="tests.extending.latent")
    assert again.prior.codec is not None
    assert type(again.sampler).__name__ == "DPMSolver"
    with pytest.raises(deft.errors.InvalidInput, match="allow"):
        deft.load(run)
    out = tmp_path / "out"
    settings = tmp_path / "methods.yaml"
    settings.write_text(
        f"methods:\n  DEFT:\n    class_path: DEFT\n    init_args: {{checkpoint: {run}}}\n"
        "  prior:\n    class_path: Unconditional\n"
    )
    compare = ["evaluate", "--config", str(settings), *named, *INPAINTING, "--images", str(images)]
    assert main([*compare, "--samples", "2", "--out", str(out)]) == 0, capsys.readouterr().err
    assert (out / "report.html").exists()


def test_a_prior_of_clouds_is_sampled(tmp_path, capsys):
    points = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 5, 3)).astype(np.float32)
    np.save(tmp_path / "clouds.npy", points)
    out = tmp_path / "samples"
    named = ["--prior", "tests.extending.cloud.CloudPrior", "--allow", "tests.extending"]
    problem = ["--problem", "Denoising", "--problem.sigma_y", "0.3"]
    method = ["--method", "PiGDM", "--method.steps", "10"]
    images = ["--images", str(tmp_path / "clouds.npy"), "--samples", "3"]
    status = main(["sample", *named, *problem, *method, *images, "--out", str(out)])
    assert status == 0, capsys.readouterr().err
    with np.load(out / "00000.npz") as found:
        assert found["samples"].shape == (3, 5, 3)
        assert np.abs(found["samples"].mean(1)).max() < 1e-5


def test_an_objective_of_ones_own_is_trained(tmp_path, capsys):
    zoo.save(tmp_path / "tiny.safetensors", tiny_prior(), {})
    images, run = save_images(tmp_path / "images", 3), tmp_path / "run"
    given = ["train", "--prior", str(tmp_path / "tiny.safetensors"), *INPAINTING]
    given += ["--images", str(images), "--out", str(run), "--steps", "2", "--batch_size", "4"]
    own = ["--objective", "tests.extending.log_variance.OfOneImage", "--allow", "tests.extending"]
    assert main([*given, *own, "--validation_share", "0"]) == 0, capsys.readouterr().err
    assert (run / "h.safetensors").exists()
    assert main([*given, "--objective", "tests.extending.unipc.Bh2"]) == 2
    assert "Bh2" in capsys.readouterr().err
