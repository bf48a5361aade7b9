"""Every scheduler of diffusers is read, with the table that it makes itself, or refused with the
reason.
"""

import importlib
import pkgutil

import pytest
import torch

from deft.errors import InvalidInput
from deft.priors.diffusers_schedulers import read
from deft.priors.diffusers_settings import OTHERS, READ, REFUSED, SHIFTED_BETAS
from deft.schedules import VPTabulated

diffusers = pytest.importorskip("diffusers")


def every() -> set[str]:
    """The names of all scheduler classes, also of those that need packages which are not
    installed.
    """
    import diffusers.schedulers as package

    found = set()
    for home in (package, importlib.import_module("diffusers.schedulers.deprecated")):
        found |= {name for names in home._import_structure.values() for name in names}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("scheduling_") and module.name not in (
            "scheduling_utils",
            "scheduling_utils_flax",
        ):
            try:
                content = importlib.import_module(f"diffusers.schedulers.{module.name}")
            except ImportError:
                continue
            found |= {
                name
                for name, value in vars(content).items()
                if isinstance(value, type) and value.__module__ == content.__name__
            }
    ends = ("Scheduler", "Solver")
    return {
        name
        for name in found
        if name.endswith(ends) and name not in ("SchedulerMixin",) and not name.startswith("Flax")
    } | {
        "CosineDPMSolverMultistepScheduler",
        "DPMSolverSDEScheduler",
    }


def test_every_class_of_the_installed_version_is_known():
    known = READ | set(REFUSED) | OTHERS
    assert every() - known == set()
    assert not (READ | OTHERS) & set(REFUSED)


@pytest.mark.parametrize("name", sorted(READ - {"DPMSolverSDEScheduler", "UnCLIPScheduler"}))
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_alpha_and_sigma_are_those_of_the_class_itself(name, schedule):
    cls = getattr(diffusers, name)
    config = {
        "num_train_timesteps": 100,
        "beta_start": 1e-3,
        "beta_end": 0.05,
        "beta_schedule": schedule,
    }
    try:
        theirs = cls(**config)
    except NotImplementedError:
        pytest.skip(f"{name} itself does not know {schedule}")
    found = read({**theirs.config, "_class_name": name}, "scheduler_config.json")
    ours = found.schedule
    assert (found.prediction, found.told) == ("epsilon", "entry")
    kept = len(ours._log_snr)  # those with a log-SNR above -16
    assert kept >= 99
    t = torch.linspace(0, 1, kept, dtype=torch.float64)
    expected = theirs.alphas_cumprod[:kept].double()
    torch.testing.assert_close(ours.alpha(t) ** 2, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.sigma(t) ** 2, 1 - expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(READ - {"DPMSolverSDEScheduler"}))
def test_what_a_configuration_leaves_out_is_what_its_class_takes(name):
    theirs = getattr(diffusers, name)()
    ours = read({"_class_name": name}, "scheduler_config.json").schedule
    kept = len(ours._log_snr)
    assert kept >= 999
    torch.testing.assert_close(
        ours.alpha(torch.linspace(0, 1, kept, dtype=torch.float64)) ** 2,
        theirs.alphas_cumprod[:kept].double(),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_others_are_refused_with_the_reason(name):
    with pytest.raises(InvalidInput) as raised:
        read({"_class_name": name}, "scheduler_config.json")
    assert raised.value.given == name
    assert REFUSED[name] in raised.value.expected
    assert "schedule=" in raised.value.advice


DDPM = {"_class_name": "DDPMScheduler", "_diffusers_version": "0.42.1"}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
EDM = {"_class_name": "EDMEulerScheduler"}


@pytest.mark.parametrize(
    ("config", "given", "expected"),
    [
        ({"_class_name": "MyScheduler"}, "MyScheduler", "a scheduler of diffusers"),
        ({"_class_name": "DDPMSheduler"}, "DDPMSheduler", "a scheduler of diffusers"),
        ({}, None, "a scheduler of diffusers"),
        (DDPM | {"beta_schedule": "quadratic"}, "quadratic", "a schedule of betas"),
        (
            DDPM | {"prediction_type": "flow_prediction"},
            "flow_prediction",
            "epsilon, sample, v_prediction",
        ),
        (DDPM | {"prediction_type": None}, None, "epsilon, sample, v_prediction"),
        (
            DDPM
            | {
                "_class_name": "DPMSolverMultistepScheduler",
                "use_flow_sigmas": True,
                "prediction_type": "v_prediction",
            },
            "v_prediction",
            "flow_prediction, epsilon, sample",
        ),
        (
            DDPM | {"_class_name": "UniPCMultistepScheduler", "use_dynamic_shifting": True},
            True,
            "how far to shift",
        ),
        (FLOW | {"shift": 0}, 0, "a number > 0"),
        (FLOW | {"invert_sigmas": True}, True, "told 1 - u"),
        (FLOW | {"use_dynamic_shifting": True}, True, "the size of the signals"),
        (FLOW | {"num_train_timesteps": 2}, 2, "a whole number from 3"),
        (FLOW | {"direction": "back"}, "back", "a setting that is known"),
        (
            FLOW | {"use_dynamic_shifting": True, "time_shift_type": "cubic", "tokens": 4},
            "cubic",
            "exponential, linear",
        ),
        (EDM | {"sigma_min": 90.0}, 90.0, "below sigma_max, 80"),
        (EDM | {"prediction_type": "sample"}, "sample", "epsilon, v_prediction"),
        (EDM | {"sigma_schedule": "lu"}, "lu", "karras, exponential"),
        ({"_class_name": "IPNDMScheduler", "trained_betas": [0.1]}, None, "nothing"),
        (DDPM | {"snr_shift_scale": 3.0}, 3.0, "a setting that is known"),
        (DDPM | {"num_train_timesteps": 10**9}, 10**9, "a whole number"),
        (DDPM | {"num_train_timesteps": "1000"}, "1000", "a whole number"),
        (DDPM | {"beta_start": "low"}, "low", "a number"),
        (DDPM | {"beta_end": float("nan")}, None, "a number"),
        (DDPM | {"trained_betas": "betas.npy"}, None, "a table of betas"),
        (DDPM | {"trained_betas": [0.1, float("nan")]}, None, "a table of betas"),
        (
            DDPM | {"trained_betas": [0.1, 0.2], "num_train_timesteps": 3},
            "2 numbers",
            "3, as num_train_timesteps says",
        ),
        (DDPM | {"rescale_betas_zero_snr": "false"}, "false", "true or false"),
        (DDPM | {"beta_end": 7.0}, 7.0, "in (0, 1]"),
        (DDPM | {"_class_name": ["DDPMScheduler"]}, None, "a scheduler of diffusers"),
        (
            DDPM | {"_class_name": "EulerDiscreteScheduler", "timestep_type": "other"},
            "other",
            "discrete or continuous",
        ),
        (
            {"_class_name": "ScoreSdeVeScheduler", "sigma_maximum": 3.0},
            3.0,
            "a setting that is known",
        ),
    ],
)
def test_nothing_falls_to_a_default(config, given, expected):
    tokens = config.pop("tokens", None)
    with pytest.raises(InvalidInput) as raised:
        read(config, "scheduler_config.json", tokens)
    assert given is None or raised.value.given == given
    assert expected in raised.value.expected


def test_a_table_of_ones_own():
    betas = torch.linspace(1e-3, 0.1, 20).tolist()
    schedule = read(DDPM | {"trained_betas": betas}, "file").schedule
    assert isinstance(schedule, VPTabulated)
    torch.testing.assert_close(schedule.betas.float(), torch.tensor(betas))


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", *SHIFTED_BETAS])
@pytest.mark.parametrize("kind", ["scaled_linear", "squaredcos_cap_v2"])
def test_zero_terminal_snr(name, kind):
    """The table is the foreign one; its last entries, below a log-SNR of -16, are out of reach."""
    config = {"beta_schedule": kind, "rescale_betas_zero_snr": True}
    theirs = getattr(diffusers, name)(**config, prediction_type="v_prediction")
    found = read({**theirs.config, "_class_name": name}, "file")
    ours, betas = found.schedule, found.schedule.betas
    assert (found.prediction, float(betas[-1])) == ("v_prediction", 1)
    assert -16 <= ours.log_snr_range[0] < -8
    kept = len(ours._log_snr)
    assert 990 <= kept < 1000
    t = torch.linspace(0, 1, kept, dtype=torch.float64)
    assert ours.told(t).tolist() == list(range(kept))
    expected = theirs.alphas_cumprod[:kept].double()
    torch.testing.assert_close(ours.alpha(t) ** 2, expected, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDIMScheduler", "PNDMScheduler"])
def test_noise_is_added_as_the_class_does(name):
    theirs = getattr(diffusers, name)(beta_schedule="scaled_linear")
    ours = read({**theirs.config, "_class_name": name}, "file").schedule
    x_0, eps = torch.randn(2, 4, 1, 8, 8).unbind()
    entries = torch.tensor([0, 17, 500, 999])
    theirs.set_timesteps(1000)
    t = (entries / 999).double()
    alpha_t, sigma_t = (f(t).float().view(4, 1, 1, 1) for f in (ours.alpha, ours.sigma))
    expected = theirs.add_noise(x_0, eps, entries)
    torch.testing.assert_close(alpha_t * x_0 + sigma_t * eps, expected, rtol=1e-4, atol=1e-5)
