"""U-Nets of guided-diffusion (ADM) and improved-diffusion as priors: a `.pt` file of weights, or
the same as safetensors, represented exactly by diffusers' `UNet2DModel`.

    x_0_hat = (x_t - sigma_t eps_hat) / alpha_t,    eps_hat = the first channels of the output

Dhariwal & Nichol 2021, arXiv:2105.05233; Nichol & Dhariwal 2021, arXiv:2102.09672. The second half
of the output of a network with learned variance is not used. What weights do not say comes from the
caller, a `NAME.config.json`, or the table of published checkpoints (deft.priors.details).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deft import checks
from deft.errors import CheckpointError, InvalidInput
from deft.priors import adm_config, adm_keys, diffusers_schedulers
from deft.priors.adm_layout import Layout, layout
from deft.priors.adm_published import published
from deft.priors.details import AttentionOrder, Details, check_all, missing
from deft.priors.diffusers_settings import PREDICTIONS
from deft.priors.diffusers_unet import DiffusersPrior
from deft.schedules import Schedule, VPTabulated
from deft.storage import weights_only

NEEDED = {
    "heads": "`details.num_heads` or `details.num_head_channels`",
    "attention_order": "`details.attention_order` (legacy, new)",
    "image_size": "`details.image_size`",
    "noise_schedule": f"`schedule` ({', '.join(diffusers_schedulers.NAMED)})",
    "prediction_type": "`prediction_type` (epsilon, sample, v_prediction)",
    "value_range": "`details.value_range` ([-1,1], say)",
}
"""What weights do not say, and how it is given."""


def load(
    path: str | Path,
    *,
    config: str | Path | None = None,
    num_heads: int | None = None,
    num_head_channels: int | None = None,
    attention_order: AttentionOrder | None = None,
    image_size: int | None = None,
    schedule: Schedule | str | None = None,
    prediction_type: str | None = None,
    value_range: tuple[float, float] | None = None,
    diffusion_steps: int | None = None,
    rescale_timesteps: bool | None = None,
    scale: float | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> DiffusersPrior:
    """The prior of a file of weights; the other arguments are those of `Details`, and a `schedule`,
    "linear" or "cosine" with `diffusion_steps` entries (1000), or an object.

    Raises `InvalidInput` where something is said nowhere, or the network is of a kind that is not
    read, and `CheckpointError` for a file that is damaged, needs code, or lacks weights.
    """
    details = Details(
        config=None if config is None else str(config),
        image_size=image_size,
        num_heads=num_heads,
        num_head_channels=num_head_channels,
        attention_order=attention_order,
        value_range=value_range,
        diffusion_steps=diffusion_steps,
        rescale_timesteps=rescale_timesteps,
    )
    path = Path(path).expanduser()
    tensors = weights_only.named(path, weights_only.contents(path))
    prior = prior_of(path, tensors, details, schedule, prediction_type, scale=scale, dtype=dtype)
    return prior.to(device=device)


def prior_of(
    path: Path,
    tensors: Mapping[str, Tensor],
    details: Details,
    schedule: Schedule | str | None = None,
    prediction_type: str | None = None,
    *,
    scale: float | None = None,
    dtype: torch.dtype | None = None,
) -> DiffusersPrior:
    """As `load`, from weights that were read."""
    tensors = without_prefix(tensors)
    shape = layout(path, tensors)
    facts = known(path, shape, details, schedule, prediction_type)
    missing(path, NEEDED, facts)
    unet = adm_keys.empty_unet(shape, facts["image_size"], _heads(path, shape, facts))
    check_all(path, tensors, adm_keys.wanted(unet, shape))
    kinds = {value.dtype for value in tensors.values()}
    dtype = dtype or (kinds.pop() if len(kinds) == 1 else torch.float32)
    if not dtype.is_floating_point:
        raise CheckpointError(f"{path}", given=f"weights of {dtype}", expected="real numbers")
    state = adm_keys.to_diffusers(tensors, unet, shape, facts["attention_order"])
    unet.load_state_dict(
        {name: value.to(dtype).contiguous() for name, value in state.items()}, assign=True
    )
    return DiffusersPrior(
        unet,
        _schedule(facts),
        prediction_type=facts["prediction_type"],
        value_range=facts["value_range"],
        scale=scale,
        name=path.stem,
    )


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without the `module.` that training on several devices puts before each name."""
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return dict(tensors)


def known(
    path: Path,
    shape: Layout,
    details: Details,
    schedule: Schedule | str | None = None,
    prediction_type: str | None = None,
) -> dict[str, Any]:
    """What is known beside the weights, each from the first place that says it; `from` says for
    each which place that was.
    """
    said = {**details.said(), "noise_schedule": schedule, "prediction_type": prediction_type}
    found = details.beside(path)
    row = published(shape)
    sources: list[tuple[str, Mapping[str, Any]]] = [("given", said)]
    if found is not None:
        sources.append((found[0].name, adm_config.from_config(*found, shape)))
    if row is not None:
        sources.append((f"as published ({row.files})", row.facts()))
    facts: dict[str, Any] = {"from": {}}
    for place, source in sources:
        heads = {
            name: source[name]
            for name in ("num_heads", "num_head_channels", "num_heads_upsample")
            if source.get(name) is not None
        }
        for name, value in {**source, "heads": heads or None}.items():
            if value is not None and facts.get(name) is None:
                facts[name], facts["from"][name] = value, place
    if facts.get("prediction_type") is not None:
        checks.name("prediction_type", facts["prediction_type"], PREDICTIONS)
    steps = facts.get("diffusion_steps", 1000)
    if isinstance(facts.get("noise_schedule"), str):
        checks.name("schedule", facts["noise_schedule"], list(diffusers_schedulers.NAMED))
        if steps != 1000 and facts.get("rescale_timesteps") is None:
            raise InvalidInput(
                "details.rescale_timesteps",
                given="nothing",
                expected=f"true or false: whether entry k of {steps} is told as k or as "
                f"{1000 / steps:g} k; not in the file, and not guessed",
            )
    return facts


def _schedule(facts: Mapping[str, Any]) -> Schedule:
    """The schedule; a linear table of n entries goes over the betas of 1000 in n steps."""
    named = facts["noise_schedule"]
    if not isinstance(named, str):
        result: Schedule = named
        return result
    steps = facts.get("diffusion_steps", 1000)
    kind, start, end = diffusers_schedulers.NAMED[named]
    table = diffusers_schedulers.read(
        {
            "_class_name": "DDPMScheduler",
            "num_train_timesteps": steps,
            "beta_schedule": kind,
            "beta_start": start * 1000 / steps,
            "beta_end": min(1.0, end * 1000 / steps),
        },
        "schedule",
    ).schedule
    assert isinstance(table, VPTabulated)
    scale = 1000 / steps if facts.get("rescale_timesteps") else 1.0
    return VPTabulated(table.betas.tolist(), scale)


def _heads(path: Path, shape: Layout, facts: Mapping[str, Any]) -> adm_keys.HeadsOf:
    """How many heads an attention layer of some width has."""
    said = facts["heads"]

    def heads(width: int, up: bool) -> int:
        if "num_head_channels" in said:
            return max(1, width // int(said["num_head_channels"]))
        return int(
            said["num_heads_upsample" if up and "num_heads_upsample" in said else "num_heads"]
        )

    widths = {w for w, here in zip(shape.widths, shape.attention) if here} | {shape.widths[-1]}
    for width in sorted(widths):
        each = said.get("num_head_channels", heads(width, False))
        if width % each or width % heads(width, True):
            name, value = next(iter(said.items()))
            raise InvalidInput(
                f"details.{name}",
                given=value,
                expected=f"a divisor of each width with attention: "
                f"{', '.join(map(str, sorted(widths)))}",
            )
    return heads
