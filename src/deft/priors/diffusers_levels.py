"""Schedulers of diffusers that have levels of noise rather than a table of betas.

EDM              x_t = x_0 + sigma eps,    the network is told log(sigma) / 4
flow matching    x_t = (1 - u) x_0 + u eps,    the network is told N u, and says eps - x_0
    u' = s u / (1 + (s - 1) u)    shifted by s; dynamically, s = exp(mu) (or mu), mu linear in
        the number of patches
cosine           x_t = cos(pi u / 2) x_0 + sin(pi u / 2) eps,    told u, says v
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from deft.errors import InvalidInput
from deft.priors.diffusers_process import Process
from deft.priors.diffusers_settings import EDM_LEVELS, OF_EDM, OF_FLOW, OF_VE
from deft.priors.predictions import EDMPreconditioned
from deft.schedules import EDM, VE, RectifiedFlow, VPCosine, VPTabulated

ADVICE = (
    "give schedule= (and prediction_type=) if you know under which noise schedule the network was "
    "trained"
)
_LARGEST = 90.0  # the log-SNR beyond which a cosine in continuous time is cut


def edm(config: Mapping[str, Any], file: str) -> Process:
    """EDM's levels, preconditioned; `CosineDPMSolverMultistepScheduler` tells an angle instead."""
    refuse_unknown(config, OF_EDM, file)
    name = str(config["_class_name"])
    low, high, data, kind, said = EDM_LEVELS[name]
    ends = (number(config, "sigma_min", low, file), number(config, "sigma_max", high, file))
    if ends[0] >= ends[1]:
        raise InvalidInput(
            f"{file}: sigma_min", given=ends[0], expected=f"a number below sigma_max, {ends[1]:g}"
        )
    prediction = EDMPreconditioned(
        number(config, "sigma_data", data, file),
        _one_of(config, "prediction_type", said, ("epsilon", "v_prediction"), file)
        == "v_prediction",
    )
    karras = _one_of(config, "sigma_schedule", kind, ("karras", "exponential"), file) == "karras"
    schedule = EDM(*ends, number(config, "rho", 7.0, file)) if karras else VE(*ends)
    angle = name == "CosineDPMSolverMultistepScheduler"
    return Process(schedule, prediction, "angle" if angle else "c_noise")


def flow_matching(config: Mapping[str, Any], file: str, tokens: int | None) -> Process:
    """A velocity of rectified flow, shifted, or shifted by the size of the signals."""
    refuse_unknown(config, OF_FLOW, file)
    if config.get("invert_sigmas"):
        raise InvalidInput(
            f"{file}: invert_sigmas",
            given=config["invert_sigmas"],
            expected="false: with it the network is told 1 - u, as none that is read here is",
            advice=ADVICE,
        )
    if not config.get("use_dynamic_shifting"):
        return flow(config, "shift", "velocity", file)
    if tokens is None:
        raise InvalidInput(
            f"{file}: use_dynamic_shifting",
            given=True,
            expected="false, where the size of the signals is not known",
            advice=ADVICE,
        )
    few, many = (
        number(config, key, usual, file)
        for key, usual in (("base_image_seq_len", 256), ("max_image_seq_len", 4096))
    )
    base, most = (
        number(config, key, usual, file)
        for key, usual in (("base_shift", 0.5), ("max_shift", 1.15))
    )
    mu = base + (most - base) / (many - few) * (tokens - few) if many != few else base
    kind = _one_of(config, "time_shift_type", "exponential", ("exponential", "linear"), file)
    shift = math.exp(mu) if kind == "exponential" else mu
    return flow({**config, "shift": shift}, "shift", "velocity", file)


def flow(config: Mapping[str, Any], key: str, prediction: str, file: str) -> Process:
    """Rectified flow with `num_train_timesteps` levels, shifted by the number of that name."""
    count = config.get("num_train_timesteps", 1000)
    if not isinstance(count, int) or isinstance(count, bool) or not 3 <= count <= 100_000:
        raise InvalidInput(
            f"{file}: num_train_timesteps", given=count, expected="a whole number from 3 to 100000"
        )
    schedule = RectifiedFlow(1 / count, number(config, key, 1.0, file))
    return Process(schedule, prediction, "level", float(count))


def cosine(config: Mapping[str, Any], file: str) -> Process:
    """`IPNDMScheduler`: no table, but the cosine itself, and v."""
    refuse_unknown(config, ("num_train_timesteps", "trained_betas"), file)
    if config.get("trained_betas") is not None:
        raise InvalidInput(
            f"{file}: trained_betas",
            given=config["trained_betas"],
            expected="nothing: the network is told an angle of the cosine schedule",
            advice=ADVICE,
        )
    return Process(VPCosine(), "v_prediction", "angle")


def continuous(config: Mapping[str, Any], table: VPTabulated, file: str) -> Process:
    """Euler's continuous time: v, told log(sigma / alpha) / 4; between the ends that the
    configuration says, or those of its table.
    """
    low, high = table.log_snr_range
    for key in ("sigma_min", "sigma_max"):
        if config.get(key) is not None:
            log_snr = -2 * math.log(number(config, key, 1.0, file))
            low, high = (log_snr, high) if key == "sigma_max" else (low, log_snr)
    if not low < high:
        raise InvalidInput(
            f"{file}: sigma_min",
            given=config.get("sigma_min"),
            expected=f"a number below sigma_max, {math.exp(-low / 2):g}",
        )
    return Process(VPCosine(max(low, -_LARGEST), min(high, _LARGEST)), "v_prediction", "c_noise")


def score_ve(config: Mapping[str, Any], file: str) -> Process:
    """The score of a VE process, told sigma; images are in [0, 1]."""
    refuse_unknown(config, OF_VE, file)
    schedule = VE(
        number(config, "sigma_min", 0.01, file), number(config, "sigma_max", 1348.0, file)
    )
    return Process(schedule, "score", in_units=True)


def refuse_unknown(config: Mapping[str, Any], known: Collection[str], file: str) -> None:
    """Raise `InvalidInput` for a setting whose meaning is not known here."""
    unknown = [key for key in config if not key.startswith("_") and key not in known]
    if unknown:
        raise InvalidInput(
            f"{file}: {unknown[0]}",
            given=config[unknown[0]],
            expected="a setting that is known not to change the noise schedule or the prediction",
            advice=ADVICE,
        )


def number(config: Mapping[str, Any], key: str, usual: float, file: str) -> float:
    """A number > 0 of the configuration."""
    value = config.get(key, usual)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e6:
        raise InvalidInput(f"{file}: {key}", given=value, expected="a number > 0")
    return float(value)


def _one_of(
    config: Mapping[str, Any], key: str, usual: str, known: Collection[str], file: str
) -> str:
    value = config.get(key, usual)
    if value not in known:
        raise InvalidInput(
            f"{file}: {key}", given=value, expected=f"one of {', '.join(known)}", advice=ADVICE
        )
    return str(value)
