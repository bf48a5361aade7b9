"""Every scheduler of diffusers is read, with the table that it makes itself, or refused with the
reason.
"""

import importlib
import pkgutil

import pytest
import torch

from deft.errors import InvalidInput
from deft.priors.diffusers_schedulers import read
from deft.priors.diffusers_settings import READ, REFUSED

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
    known = READ | set(REFUSED) | {"ScoreSdeVeScheduler"}
    assert every() - known == set()
    assert not READ & set(REFUSED)


@pytest.mark.parametrize("name", sorted(READ - {"DPMSolverSDEScheduler"}))
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
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
    ours, prediction = read({**theirs.config, "_class_name": name}, "scheduler_config.json")
    assert prediction == "epsilon"
    t = torch.linspace(0, 1, 100, dtype=torch.float64)
    expected = theirs.alphas_cumprod.double()
    torch.testing.assert_close(ours.alpha(t) ** 2, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.sigma(t) ** 2, 1 - expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(READ - {"DPMSolverSDEScheduler"}))
def test_what_a_configuration_leaves_out_is_what_its_class_takes(name):
    theirs = getattr(diffusers, name)()
    ours, _ = read({"_class_name": name}, "scheduler_config.json")
    torch.testing.assert_close(
        ours.alpha(torch.linspace(0, 1, 1000, dtype=torch.float64)) ** 2,
        theirs.alphas_cumprod.double(),
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
            DDPM | {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True},
            True,
            "flow matching",
        ),
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
            DDPM | {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"},
            "continuous",
            "discrete",
        ),
        (
            {"_class_name": "ScoreSdeVeScheduler", "sigma_maximum": 3.0},
            3.0,
            "a setting that is known",
        ),
    ],
)
def test_nothing_falls_to_a_default(config, given, expected):
    with pytest.raises(InvalidInput) as raised:
        read(config, "scheduler_config.json")
    assert given is None or raised.value.given == given
    assert expected in raised.value.expected


def test_a_table_of_ones_own_and_zero_terminal_snr():
    betas = torch.linspace(1e-3, 0.1, 20).tolist()
    schedule, _ = read(DDPM | {"trained_betas": betas}, "file")
    torch.testing.assert_close(schedule.betas.float(), torch.tensor(betas))
    schedule, prediction = read(
        DDPM | {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, "file"
    )
    assert prediction == "v_prediction"
    assert schedule.betas[-1] == 1
