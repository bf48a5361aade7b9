"""What a scheduler's configuration of diffusers says about a network: the noise schedule that it
was trained under, what it predicts, and what it is told of the time.

A class or a setting that is not in `deft.priors.diffusers_settings` (a newer diffusers, somebody's
own) is refused by name: nothing falls to a default. How a class places its steps (Karras,
exponential and beta sigmas, spacing) is no part of what the network knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deft import checks
from deft.errors import InvalidInput, nearest_names
from deft.priors import diffusers_levels as levels
from deft.priors.diffusers_betas import table
from deft.priors.diffusers_levels import ADVICE
from deft.priors.diffusers_process import Process
from deft.priors.diffusers_settings import (
    BETAS,
    EDM_LEVELS,
    FLOW_MATCHING,
    FLOW_PREDICTION,
    HARMLESS,
    OTHERS,
    PREDICTIONS,
    READ,
    REFUSED,
    SHIFTED_BETAS,
)
from deft.schedules import Schedule, VPTabulated

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
    ).schedule


def read(config: Mapping[str, Any], file: str, tokens: int | None = None) -> Process:
    """The process of a configuration; `tokens` is the number of patches of one signal, on which
    dynamic shifting depends. Raises `InvalidInput` for one that is not known to be read right.
    """
    name = config.get("_class_name")
    name = name if isinstance(name, str) else None if name is None else repr(name)
    if name in EDM_LEVELS:
        return levels.edm(config, file)
    if name in FLOW_MATCHING:
        return levels.flow_matching(config, file, tokens)
    if name == "IPNDMScheduler":
        return levels.cosine(config, file)
    if name == "ScoreSdeVeScheduler":
        return levels.score_ve(config, file)
    if name in REFUSED:
        raise InvalidInput(
            f"{file}: _class_name",
            given=name,
            expected="a scheduler that says a noise schedule and a prediction; this one is for "
            f"{REFUSED[name]}",
            advice=ADVICE,
        )
    if name not in READ:
        near = nearest_names(str(name), sorted(READ | OTHERS)).removeprefix("; ")
        raise InvalidInput(
            f"{file}: _class_name",
            given=name,
            expected="a scheduler of diffusers that is known here",
            advice=f"{near} {ADVICE}".strip(),
        )
    return _of_betas(config, file)


def _of_betas(config: Mapping[str, Any], file: str) -> Process:
    """A class with a table of betas; under `use_flow_sigmas` it is flow matching, and the table is
    not used.
    """
    shifted = ("snr_shift_scale",) if config["_class_name"] in SHIFTED_BETAS else ()
    own = ("prediction_type", "timestep_type", "timestep_scaling")
    flows = ("use_flow_sigmas", "use_dynamic_shifting")
    levels.refuse_unknown(config, {*BETAS, *HARMLESS, *own, *flows, *shifted}, file)
    if config.get("use_dynamic_shifting"):
        raise InvalidInput(
            f"{file}: use_dynamic_shifting",
            given=config["use_dynamic_shifting"],
            expected="false: how far to shift is not in the configuration of this class",
            advice=ADVICE,
        )
    flow = bool(config.get("use_flow_sigmas"))
    found = config.get("prediction_type", "epsilon")  # which older versions did not say
    known = (FLOW_PREDICTION, "epsilon", "sample") if flow else PREDICTIONS
    if found not in known:
        raise InvalidInput(
            f"{file}: prediction_type",
            given=found,
            expected=f"one of {', '.join(known)}",
            advice=ADVICE,
        )
    if flow:
        said = "velocity" if found == FLOW_PREDICTION else str(found)
        return levels.flow(config, "flow_shift", said, file)
    continuous = config.get("timestep_type", "discrete")
    if continuous not in ("discrete", "continuous"):
        raise InvalidInput(
            f"{file}: timestep_type",
            given=continuous,
            expected="discrete or continuous",
            advice=ADVICE,
        )
    tabulated = VPTabulated(table(config, file))
    if continuous == "continuous" and found == "v_prediction":
        return levels.continuous(config, tabulated, file)
    return Process(tabulated, str(found))
