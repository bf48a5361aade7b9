"""The tables of betas of diffusers' schedulers.

    alpha_k^2 = prod_{j <= k} (1 - beta_j)

`linear`, `scaled_linear`, `squaredcos_cap_v2`, `sigmoid` and `laplace`, one that was trained with
(`trained_betas`), and any of them rescaled to a signal-to-noise ratio of zero at its end (Lin et
al. 2024, arXiv:2305.08891), are made by diffusers itself. CogVideoX's divides the ratio by a
number: alpha^2 becomes alpha^2 / (s + (1 - s) alpha^2), before it is rescaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.priors.diffusers_levels import ADVICE, number
from deft.priors.diffusers_settings import BETAS, LATENT_BETAS, SHIFTED_BETAS


def table(config: Mapping[str, Any], file: str) -> list[float]:
    """The betas, as diffusers makes them."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    steps = config.get("num_train_timesteps", 1000)
    if not isinstance(steps, int) or isinstance(steps, bool) or not 2 <= steps <= 100_000:
        raise InvalidInput(
            f"{file}: num_train_timesteps", given=steps, expected="a whole number from 2 to 100000"
        )
    for key in ("beta_start", "beta_end"):
        if not 0 < number(config, key, 0.01, file) <= 1:
            raise InvalidInput(f"{file}: {key}", given=config[key], expected="a number in (0, 1]")
    rescale = config.get("rescale_betas_zero_snr")
    if rescale is not None and not isinstance(rescale, bool):
        raise InvalidInput(
            f"{file}: rescale_betas_zero_snr", given=rescale, expected="true or false"
        )
    if config.get("trained_betas") is not None:
        _check_trained(config, steps, file)
    name = config.get("_class_name")
    usual: dict[str, Any] = {}
    if name in LATENT_BETAS:
        usual = {"beta_start": 0.00085, "beta_end": 0.012}
    if name in SHIFTED_BETAS:
        usual["beta_schedule"] = "scaled_linear"
    if name == "UnCLIPScheduler":
        usual = {"beta_schedule": "squaredcos_cap_v2"}
    said = {key: config[key] for key in BETAS if config.get(key) is not None}
    try:
        if name in SHIFTED_BETAS:
            said["rescale_betas_zero_snr"] = False
            return _shifted(DDPMScheduler(**usual | said).alphas_cumprod, config, file)
        result: list[float] = DDPMScheduler(**usual | said).betas.tolist()
        return result
    except NotImplementedError as error:
        raise InvalidInput(
            f"{file}: beta_schedule",
            given=config.get("beta_schedule"),
            expected="a schedule of betas that diffusers' DDPM knows",
            advice=ADVICE,
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
            advice=ADVICE,
        )
    if "num_train_timesteps" in config and len(betas) != steps:
        raise InvalidInput(
            f"{file}: trained_betas",
            given=f"{len(betas)} numbers",
            expected=f"{steps}, as num_train_timesteps says",
        )


def _shifted(alpha_2: Tensor, config: Mapping[str, Any], file: str) -> list[float]:
    """The betas of a table whose signal-to-noise ratio is divided by `snr_shift_scale`."""
    s = number(config, "snr_shift_scale", 3.0, file)
    alpha_2 = alpha_2.double()
    alpha_2 = alpha_2 / (s + (1 - s) * alpha_2)
    if config.get("rescale_betas_zero_snr"):
        alpha = alpha_2.sqrt()
        alpha_2 = ((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])) ** 2
    before = torch.cat([torch.ones(1, dtype=torch.float64), alpha_2[:-1]])
    result: list[float] = (1 - alpha_2 / before).tolist()
    return result
