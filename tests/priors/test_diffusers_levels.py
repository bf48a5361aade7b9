"""Schedulers with levels of noise: what the network is given and told, and what its output means,
are those of the foreign class at each step of its own grid.
"""

import math

import pytest
import torch

from deft.priors.diffusers_process import told
from deft.priors.diffusers_schedulers import read
from deft.priors.predictions import prediction
from deft.schedules import EDM, VE, RectifiedFlow

diffusers = pytest.importorskip("diffusers")
X, OUT = torch.randn(2, 2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def found(scheduler, name=None, tokens=None):
    name = name or type(scheduler).__name__
    return read({**scheduler.config, "_class_name": name}, "file", tokens)


def at(process, sigma):
    """The time of sigma / alpha, and alpha and sigma there."""
    t = process.schedule.time(-2 * torch.as_tensor(sigma, dtype=torch.float64).reshape(1).log())
    return t, process.schedule.alpha(t).view(-1, 1, 1, 1), process.schedule.sigma(t)


def level(process, t):
    return float(told(process.schedule, process.told, process.factor, t))


@pytest.mark.parametrize("schedule", ["karras", "exponential"])
@pytest.mark.parametrize("said", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_edm(name, said, schedule):
    theirs = getattr(diffusers, name)(
        prediction_type=said, sigma_schedule=schedule, sigma_data=0.7, sigma_max=50.0
    )
    ours = found(theirs)
    assert isinstance(ours.schedule, EDM if schedule == "karras" else VE)
    theirs.set_timesteps(6)
    for k, timestep in enumerate(theirs.timesteps):
        sigma = theirs.sigmas[k]
        x_t = sigma * X
        t, alpha_t, sigma_t = at(ours, sigma)
        assert alpha_t.item() == 1
        assert level(ours, t) == pytest.approx(float(timestep), abs=1e-4)
        given = theirs.scale_model_input(x_t, timestep)
        torch.testing.assert_close(ours.prediction.given(x_t, alpha_t, sigma_t).float(), given)
        x_0_hat = ours.prediction.x_0_hat(OUT, x_t, alpha_t, sigma_t).float()
        if name == "EDMEulerScheduler":
            expected = theirs.step(OUT, timestep, x_t).pred_original_sample
        else:
            expected = theirs.convert_model_output(OUT, sample=x_t)
            theirs.step(OUT, timestep, x_t)
        torch.testing.assert_close(x_0_hat, expected, rtol=1e-4, atol=1e-4)
    grid = torch.linspace(0, 1, 6, dtype=torch.float64)
    expected = theirs.sigmas[:6].flip(0).double()
    torch.testing.assert_close(ours.schedule.sigma(grid), expected, rtol=1e-4, atol=1e-5)


def test_the_cosine_of_edm_tells_an_angle():
    """Its own module needs torchsde; its output is that of EDMEuler, and 2 atan(sigma) / pi is what
    it says of the time.
    """
    theirs = diffusers.EDMEulerScheduler(sigma_data=1.0, prediction_type="v_prediction")
    ours = read({"_class_name": "CosineDPMSolverMultistepScheduler"}, "file")
    assert (ours.schedule.sigma_min, ours.schedule.sigma_max) == (0.3, 500)
    for sigma in (0.3, 4.0, 500.0):
        t, alpha_t, sigma_t = at(ours, sigma)
        assert level(ours, t) == pytest.approx(2 * math.atan(sigma) / math.pi, abs=1e-6)
        expected = theirs.precondition_outputs(sigma * X, OUT, torch.tensor(sigma))
        x_0_hat = ours.prediction.x_0_hat(OUT, sigma * X, alpha_t, sigma_t).float()
        torch.testing.assert_close(x_0_hat, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"]
)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_matching(name, shift):
    theirs = getattr(diffusers, name)(shift=shift)
    ours = found(theirs)
    assert isinstance(ours.schedule, RectifiedFlow)
    assert (ours.prediction, ours.factor) == ("velocity", 1000)
    for k in (0, 400, 998):
        timestep, v = theirs.timesteps[k], float(theirs.sigmas[k])
        t = ours.schedule.time(torch.tensor([2 * torch.tensor((1 - min(v, 0.9995)) / v).log()]))
        if v < 0.9995:
            assert level(ours, t) == pytest.approx(float(timestep), rel=1e-4)
        theirs._step_index = None
        noisy = theirs.scale_noise(X, timestep[None], OUT)
        torch.testing.assert_close(noisy, (1 - v) * X + v * OUT)
        theirs._step_index = None
        if v < 0.9995 and name.startswith("FlowMatchEuler"):
            alpha_t, sigma_t = ours.schedule.alpha(t), ours.schedule.sigma(t)
            x_0_hat = prediction(ours.prediction).x_0_hat(OUT, X, alpha_t, sigma_t)
            moved = theirs.step(OUT, timestep, X).prev_sample
            expected = X - v / (v - float(theirs.sigmas[k + 1])) * (X - moved)
            torch.testing.assert_close(x_0_hat.float(), expected, rtol=1e-3, atol=1e-3)
    ends = ours.schedule.sigma(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert float(ends[0]) == pytest.approx(theirs.sigma_min, rel=1e-5)
    assert 0.998 < float(ends[1]) < theirs.sigma_max


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("tokens", [256, 1024, 4096])
def test_dynamic_shifting(kind, tokens):
    """The pipeline of Flux computes mu; the scheduler shifts by it."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    theirs = diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, time_shift_type=kind
    )
    mu = calculate_shift(tokens)
    ours = found(theirs, tokens=tokens).schedule
    u = torch.linspace(1e-3, 1 - 1e-3, 5, dtype=torch.float64)
    torch.testing.assert_close(
        ours.sigma(torch.linspace(0, 1, 5, dtype=torch.float64)), theirs.time_shift(mu, 1.0, u)
    )


@pytest.mark.parametrize(
    "name",
    [
        "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler",
        "SASolverScheduler",
        "UniPCMultistepScheduler",
    ],
)
@pytest.mark.parametrize("said", ["flow_prediction", "epsilon", "sample"])
def test_flow_sigmas_of_a_class_with_betas(name, said):
    theirs = getattr(diffusers, name)(prediction_type=said, use_flow_sigmas=True, flow_shift=3.0)
    ours = found(theirs)
    assert isinstance(ours.schedule, RectifiedFlow)
    theirs.set_timesteps(5)
    for k in (1, 3):
        theirs._step_index = k
        v = float(theirs.sigmas[k])
        t, alpha_t, sigma_t = at(ours, v / (1 - v))
        assert level(ours, t) == pytest.approx(int(theirs.timesteps[k]), abs=1)
        x_0_hat = prediction(ours.prediction).x_0_hat(OUT, X, alpha_t, sigma_t).float()
        theirs_x = theirs.convert_model_output(OUT, sample=X)
        if name == "DEISMultistepScheduler":  # which goes on in eps
            alpha, sigma = theirs._sigma_to_alpha_sigma_t(theirs.sigmas[k])
            theirs_x = (X - sigma * theirs_x) / alpha
        torch.testing.assert_close(x_0_hat, theirs_x, rtol=1e-3, atol=1e-3)


def test_continuous_time_of_euler():
    theirs = diffusers.EulerDiscreteScheduler(
        prediction_type="v_prediction",
        timestep_type="continuous",
        sigma_min=0.002,
        sigma_max=700.0,
        use_karras_sigmas=True,
        beta_schedule="scaled_linear",
    )
    ours = found(theirs)
    theirs.set_timesteps(4)
    for k, timestep in enumerate(theirs.timesteps):
        sigma = theirs.sigmas[k]
        x_t = sigma * X
        t, alpha_t, sigma_t = at(ours, sigma)
        assert level(ours, t) == pytest.approx(float(timestep), abs=1e-4)
        given = theirs.scale_model_input(x_t, timestep)
        torch.testing.assert_close((alpha_t * x_t).float(), given, rtol=1e-4, atol=1e-4)
        x_0_hat = prediction(ours.prediction).x_0_hat(OUT, alpha_t * x_t, alpha_t, sigma_t)
        expected = theirs.step(OUT, timestep, x_t).pred_original_sample
        torch.testing.assert_close(x_0_hat.float(), expected, rtol=1e-3, atol=1e-3)


def test_the_cosine_in_continuous_time():
    theirs = diffusers.IPNDMScheduler()
    ours = found(theirs)
    theirs.set_timesteps(10)
    for k in (2, 6):
        alpha, sigma, timestep = theirs.alphas[k], theirs.betas[k], theirs.timesteps[k]
        t, alpha_t, sigma_t = at(ours, sigma / alpha)
        assert (float(alpha_t), float(sigma_t)) == pytest.approx((float(alpha), float(sigma)))
        assert level(ours, t) == pytest.approx(float(timestep), abs=1e-4)
        eps = X * sigma + OUT * alpha  # what its step makes of the output
        x_0_hat = prediction(ours.prediction).x_0_hat(OUT, X, alpha_t, sigma_t).float()
        expected = (X - sigma * eps) / alpha
        torch.testing.assert_close(x_0_hat, expected, rtol=1e-4, atol=1e-4)
