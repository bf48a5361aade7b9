"""What a scheduler's configuration of diffusers says about a network: the noise schedule that it
was trained under, and what it predicts.

A class or a setting that is not in `deft.priors.diffusers_settings` (a newer diffusers, somebody's
own) is refused by name: nothing falls to a default.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from deft import checks
from deft.errors import InvalidInput, nearest_names
from deft.priors.diffusers_settings import (
    BETAS,
    FLOW,
    FLOWS,
    HARMLESS,
    LATENT_BETAS,
    OF_VE,
    PREDICTIONS,
    READ,
    REFUSED,
)
from deft.schedules import VE, Schedule, VPTabulated

_ADVICE = (
    "give schedule= (and prediction_type=) if you know under which noise schedule the network was "
    "trained"
)


NAMED = {
    "linear": ("linear", 1e-4, 0.02),
    "scaled_linear": ("scaled_linear", 8.5e-4, 0.012),
    "cosine": ("squaredcos_cap_v2", 1e-4, 0.02),
}
"""The tables of betas that go by a name: DDPM's, that of latent diffusion, and the squared cosine.
"""


def named(name: str) -> Schedule:
    """The table of betas of that name. Raises `InvalidInput` for another, with the nearest."""
    kind, start, end = NAMED[checks.name("schedule", name, list(NAMED))]
    return read(
        {
            "_class_name": "DDPMScheduler",
            "beta_schedule": kind,
            "beta_start": start,
            "beta_end": end,
        },
        "schedule",
    )[0]


def read(config: Mapping[str, Any], file: str) -> tuple[Schedule, str]:
    """The schedule and the prediction of a configuration. Raises `InvalidInput` for one that is not
    known to be read right.
    """
    name = config.get("_class_name")
    name = name if isinstance(name, str) else None if name is None else repr(name)
    if name == "ScoreSdeVeScheduler":
        _refuse_unknown(config, OF_VE, file)
        return VE(
            _number(config, "sigma_min", 0.01, file), _number(config, "sigma_max", 1348.0, file)
        ), "score"
    if name in REFUSED:
        raise InvalidInput(
            f"{file}: _class_name",
            given=name,
            expected=f"a scheduler with a table of betas; this one is for {REFUSED[name]}",
            advice=_ADVICE,
        )
    if name not in READ:
        known = sorted(READ | {"ScoreSdeVeScheduler"})
        near = nearest_names(str(name), known).removeprefix("; ")
        raise InvalidInput(
            f"{file}: _class_name",
            given=name,
            expected="a scheduler of diffusers that is known here",
            advice=f"{near} {_ADVICE}".strip(),
        )
    _check_settings(config, file)
    return VPTabulated(_table(config, file)), _prediction(config, file)


def _check_settings(config: Mapping[str, Any], file: str) -> None:
    for key in FLOWS:
        if config.get(key):
            raise InvalidInput(
                f"{file}: {key}",
                given=config[key],
                expected=f"false: it means {FLOW}",
                advice=_ADVICE,
            )
    if config.get("timestep_type", "discrete") != "discrete":
        raise InvalidInput(
            f"{file}: timestep_type",
            given=config["timestep_type"],
            expected="discrete: the network is told entries of the table",
            advice=_ADVICE,
        )
    _refuse_unknown(
        config,
        {*BETAS, *FLOWS, *HARMLESS, "prediction_type", "timestep_type", "timestep_scaling"},
        file,
    )


def _refuse_unknown(config: Mapping[str, Any], known: Collection[str], file: str) -> None:
    unknown = [key for key in config if not key.startswith("_") and key not in known]
    if unknown:
        raise InvalidInput(
            f"{file}: {unknown[0]}",
            given=config[unknown[0]],
            expected="a setting that is known not to change the noise schedule or the prediction",
            advice=_ADVICE,
        )


def _prediction(config: Mapping[str, Any], file: str) -> str:
    found = config.get(
        "prediction_type", "epsilon"
    )  # older versions of diffusers know nothing else
    if found not in PREDICTIONS:
        raise InvalidInput(
            f"{file}: prediction_type",
            given=found,
            expected=f"one of {', '.join(PREDICTIONS)}",
            advice=_ADVICE,
        )
    return str(found)


def _table(config: Mapping[str, Any], file: str) -> list[float]:
    """The betas, as diffusers makes them."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    steps = config.get("num_train_timesteps", 1000)
    if not isinstance(steps, int) or isinstance(steps, bool) or not 2 <= steps <= 100_000:
        raise InvalidInput(
            f"{file}: num_train_timesteps", given=steps, expected="a whole number from 2 to 100000"
        )
    for key in ("beta_start", "beta_end"):
        if not 0 < _number(config, key, 0.01, file) <= 1:
            raise InvalidInput(f"{file}: {key}", given=config[key], expected="a number in (0, 1]")
    rescale = config.get("rescale_betas_zero_snr")
    if rescale is not None and not isinstance(rescale, bool):
        raise InvalidInput(
            f"{file}: rescale_betas_zero_snr", given=rescale, expected="true or false"
        )
    if config.get("trained_betas") is not None:
        _check_trained(config, steps, file)
    usual = (
        {"beta_start": 0.00085, "beta_end": 0.012}
        if config.get("_class_name") in LATENT_BETAS
        else {}
    )
    try:
        result: list[float] = DDPMScheduler(
            **usual | {key: config[key] for key in BETAS if config.get(key) is not None}
        ).betas.tolist()
        return result
    except NotImplementedError as error:
        raise InvalidInput(
            f"{file}: beta_schedule",
            given=config.get("beta_schedule"),
            expected="a schedule of betas that diffusers' DDPM knows",
            advice=_ADVICE,
        ) from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(
            f"{file}: betas",
            given={key: config.get(key) for key in BETAS},
            expected="a table of betas",
            advice=f"diffusers said: {error}",
        ) from error


def _check_trained(config: Mapping[str, Any], steps: int, file: str) -> None:
    """Raise `InvalidInput` for a table of betas that is none, or is not as long as the
    configuration says.
    """
    betas = config["trained_betas"]
    fits = isinstance(betas, (list, tuple)) and all(
        isinstance(b, (int, float)) and not isinstance(b, bool) and 0 < b <= 1 for b in betas
    )
    if not fits:
        raise InvalidInput(
            f"{file}: trained_betas",
            given=betas,
            expected="a list of numbers in (0, 1], a table of betas",
            advice=_ADVICE,
        )
    if "num_train_timesteps" in config and len(betas) != steps:
        raise InvalidInput(
            f"{file}: trained_betas",
            given=f"{len(betas)} numbers",
            expected=f"{steps}, as num_train_timesteps says",
        )


def _number(config: Mapping[str, Any], key: str, usual: float, file: str) -> float:
    value = config.get(key, usual)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e6:
        raise InvalidInput(f"{file}: {key}", given=value, expected="a number > 0")
    return float(value)
