"""A diffusers loop that is conditioned gives the samples of our samplers, and so do schedulers of
diffusers in their place.
"""

import importlib.util
from pathlib import Path

import pytest
import torch

import deft
from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.exact import Exact
from deft.interop.diffusers import SchedulerSampler, conditioned, grid, predicted, schedule_of
from deft.priors.diffusers_unet import DiffusersPrior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.predictions import prediction
from deft.problems import Fixed

diffusers = pytest.importorskip("diffusers")

SHAPE = (2, 4, 4)
PROBLEM = Fixed(deft.operators.Identity(), sigma_y=0.3)


def scheduler(kind="DDIMScheduler", **changes):
    settings = {"timestep_spacing": "trailing", "clip_sample": False}
    if kind != "DDIMScheduler":
        settings.pop("clip_sample")
    return getattr(diffusers, kind)(**settings | changes)


def prior(betas):
    """Two Gaussians, under the scheduler's table; the denoiser is known."""
    means = torch.stack([torch.full(SHAPE, -1.0), torch.full(SHAPE, 1.0)])
    return GaussianMixture(means, torch.full((2,), 0.1), None, deft.VPTabulated(betas.tolist()))


def observed(n=1):
    return PROBLEM.draw(torch.full((n, *SHAPE), 0.2), deft.Noise(range(n)))


def plain_loop(made, mixture, observation, h, x_t, steps):
    """What a user writes, with the exact denoiser as the network."""
    kind = made.config.prediction_type
    made.set_timesteps(steps)
    for timestep in made.timesteps:
        t = (timestep.double() / (len(made.betas) - 1)).reshape(1)
        said = mixture.at(x_t, t)
        out = predicted(kind, said.x_0_hat, x_t, said.alpha_t, said.sigma_t)
        out = conditioned(out, x_t, timestep, made, observation, h)
        x_t = made.step(out, timestep, x_t).prev_sample
    return x_t


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_a_loop_gives_the_samples_of_our_ddim(kind):
    made = scheduler(prediction_type=kind)
    mixture = prior(made.betas)
    observation, noise = observed(), deft.Noise(range(3))
    theirs = plain_loop(made, mixture, observation, Exact(mixture), mixture.initial(noise), 10)
    ours = deft.DDIM(10, grid=grid(made)).run(
        deft.Posterior(mixture, Exact(mixture), observation), noise
    )
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)
    assert float(ours.std()) > 0.05


@pytest.mark.parametrize(
    ("kind", "ours"),
    [("DDIMScheduler", deft.DDIM), ("DPMSolverMultistepScheduler", deft.DPMSolver)],
)
@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [5, 20])
def test_a_scheduler_in_the_place_of_a_sampler(kind, ours, predicts, steps):
    """The same samples to 1e-4, with several observations in chunks."""
    made = scheduler(kind, prediction_type=predicts)
    mixture = prior(made.betas)
    posterior = deft.Posterior(mixture, Exact(mixture), observed(2))
    theirs = SchedulerSampler(made, steps)
    own = ours(steps, grid=theirs.grid)
    found = theirs(posterior, 3, seed=4, batch_size=2)
    torch.testing.assert_close(found, own(posterior, 3, seed=4), rtol=0, atol=1e-4)
    assert made.num_inference_steps is None  # the user's is not touched


def test_a_pipeline_takes_one():
    made = scheduler("DPMSolverMultistepScheduler")
    mixture = prior(made.betas)
    pipe = deft.DeftPipeline(Exact(mixture), mixture, PROBLEM, deft.DPMSolver(20))
    observation = observed()
    by = SchedulerSampler(made, 6)
    expected = by(deft.Posterior(mixture, Exact(mixture), observation), 2, seed=1)
    assert torch.equal(pipe(observation, num_samples=2, seed=1, sampler=by), expected)
    found = pipe(observation, num_samples=2, seed=1, sampler=made, steps=6)
    assert torch.equal(found, expected)


def test_a_network_of_diffusers_with_a_learned_variance():
    """The variance passes through, and the rest is conditioned as by a posterior."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=2,
        layers_per_block=1,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
    ).eval()
    made = scheduler(prediction_type="sample")
    made.set_timesteps(4)
    own = DiffusersPrior(unet, schedule_of(made), prediction_type="sample")
    h = deft.DDNM()
    problem = deft.problems.Inpainting("box", sigma_y=0.0)
    observation = problem.draw(torch.ones(2, 1, 8, 8), deft.Noise(range(2)))
    x_t = torch.randn(2, 1, 8, 8)
    for timestep in made.timesteps:
        with torch.no_grad():
            out = unet(x_t, timestep).sample
        found = conditioned(out, x_t, timestep, made, observation, h)
        t = (timestep.double() / 999).reshape(1)
        expected = deft.Posterior(own, h, observation).denoise(x_t, t)
        torch.testing.assert_close(found[:, :1], expected, rtol=0, atol=1e-5)
        assert torch.equal(found[:, 1:], out[:, 1:])


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_predictions_there_and_back(kind):
    x_0, x_t = torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    levels = torch.tensor(0.6), torch.tensor(0.7)
    f = predicted(kind, x_0, x_t, *levels)
    torch.testing.assert_close(prediction(kind).x_0_hat(f, x_t, *levels), x_0)


def ask(made=None, out=None, x_t=None, timestep=500, observation=None, h=None):
    made = made or scheduler()
    x_t = torch.zeros(2, *SHAPE) if x_t is None else x_t
    out = x_t if out is None else out
    observation = observed() if observation is None else observation
    return conditioned(out, x_t, timestep, made, observation, h or deft.DDNM())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"timestep": 1000}, "timestep"),
        ({"timestep": -1}, "timestep"),
        ({"timestep": 3.5}, "timestep"),
        ({"timestep": "last"}, "timestep"),
        ({"out": torch.zeros(2, 3, 4, 4)}, "noise_pred"),
        ({"out": torch.zeros(1, *SHAPE)}, "noise_pred"),
        ({"out": [0.0]}, "noise_pred"),
        ({"x_t": torch.zeros(2, *SHAPE).long()}, "x_t"),
        ({"observation": torch.zeros(2, *SHAPE)}, "observation"),
        ({"observation": observed(3)}, "observation"),
        ({"made": diffusers.EulerDiscreteScheduler()}, "scheduler"),
        ({"made": diffusers.FlowMatchEulerDiscreteScheduler()}, "scheduler"),
        ({"made": "DDIM"}, "scheduler"),
        (
            {"made": diffusers.DDIMScheduler(rescale_betas_zero_snr=True), "timestep": 999},
            "timestep 999 of DDIMScheduler",
        ),
        (
            {"made": diffusers.DPMSolverMultistepScheduler(prediction_type="flow_prediction")},
            "DPMSolverMultistepScheduler: prediction_type",
        ),
    ],
)
def test_what_a_loop_cannot_be_told(options, what):
    with pytest.raises(InvalidInput) as raised:
        ask(**options)
    assert raised.value.what == what
    assert raised.value.expected


def test_h_that_needs_more_than_the_prediction():
    with pytest.raises(PriorNotDifferentiable, match="DPS"):
        ask(h=deft.DPS(1.0))


def test_grids_that_do_not_begin_at_the_noise_end():
    with pytest.raises(InvalidInput, match="set_timesteps"):
        grid(scheduler())
    leading = scheduler(timestep_spacing="leading")
    leading.set_timesteps(10)
    with pytest.raises(InvalidInput, match="trailing"):
        grid(leading)


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (lambda: scheduler("DDPMScheduler"), "scheduler"),
        (lambda: diffusers.HeunDiscreteScheduler(), "scheduler"),
        (
            lambda: scheduler("DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++"),
            "DPMSolverMultistepScheduler: algorithm_type",
        ),
        (lambda: diffusers.DDIMScheduler(), "scheduler.timesteps"),
    ],
)
def test_schedulers_that_are_no_samplers(made, what):
    with pytest.raises(InvalidInput) as raised:
        SchedulerSampler(made(), 5)
    assert raised.value.what == what


def test_a_scheduler_of_another_table():
    made = scheduler(beta_end=0.01)
    with pytest.raises(InvalidInput, match="Rescheduled"):
        SchedulerSampler(made, 5)(prior(scheduler().betas), 1)


def test_the_example():
    file = Path(__file__).parents[2] / "examples" / "diffusers_loop.py"
    spec = importlib.util.spec_from_file_location("diffusers_loop", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(steps=4, samples=2) < 1e-4
