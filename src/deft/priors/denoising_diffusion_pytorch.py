"""Checkpoints of the package denoising_diffusion_pytorch (`model-N.pt` of its `Trainer`) as priors:
its `Unet`, filled and wrapped by `CallablePrior`.

The file holds the noise schedule (its betas) and, by shapes, the widths, heads and kinds of
attention. It does not say what the network predicts, the size of images, or their range (which is
(-1, 1) where the package normalises, its default). The averaged weights are taken, with which the
package samples.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deft import checks
from deft.errors import CheckpointError, InvalidInput
from deft.priors.callable import CallablePrior
from deft.priors.details import Details, check_all, missing
from deft.priors.modules import Told
from deft.schedules import Schedule, VPTabulated
from deft.storage import weights_only

PACKAGE = "denoising_diffusion_pytorch"
NEEDED = {
    "image_size": "`details.image_size`",
    "prediction_type": "`prediction_type` (epsilon for pred_noise, sample for pred_x0, "
    "v_prediction for pred_v)",
    "value_range": "`details.value_range` ([-1,1] with auto_normalize)",
}
_PREFIXES = (("ema", "ema_model."), ("model", ""))


def load(
    path: str | Path,
    *,
    image_size: int | None = None,
    prediction_type: str | None = None,
    value_range: tuple[float, float] | None = None,
) -> CallablePrior:
    """The prior of a `model-N.pt`. Raises `InvalidInput` where something is said nowhere, or the
    package is not installed, and `CheckpointError` for a file that is damaged or lacks weights.
    """
    path = Path(path).expanduser()
    details = Details(image_size=image_size, value_range=value_range)
    return prior_of(path, weights_only.contents(path), details, None, prediction_type)


def is_it(content: object) -> bool:
    """Whether a file holds what the package's `Trainer` saves."""
    return isinstance(content, Mapping) and any(
        f"{prefix}betas" in part and f"{prefix}model.init_conv.weight" in part
        for name, prefix in _PREFIXES
        if isinstance(part := content.get(name), Mapping)
    )


def prior_of(
    path: Path,
    content: object,
    details: Details,
    schedule: Schedule | str | None,
    prediction_type: str | None,
) -> CallablePrior:
    """As `load`, from what was read."""
    if schedule is not None:
        raise InvalidInput(
            "schedule", given=schedule, expected=f"nothing: {path} holds the betas of its own"
        )
    weights, betas = averaged(path, content)
    arguments = arguments_of(path, weights)
    facts = {**details.said(), "prediction_type": prediction_type}
    missing(path, NEEDED, facts)
    kinds = ["epsilon", "sample", "v_prediction"]
    prediction = checks.name("prediction_type", prediction_type, kinds)
    unet = _unet(path, arguments)
    wanted = {name: tuple(value.shape) for name, value in unet.state_dict().items()}
    check_all(path, weights, wanted, f"{PACKAGE}.Unet({_words(arguments)})")
    unet.load_state_dict(weights)
    size, (low, high) = facts["image_size"], facts["value_range"]
    table = VPTabulated(betas.double().tolist())
    return CallablePrior(
        Told(unet, table.told),
        table,
        (arguments["channels"], size, size),
        0.25 * (high - low),
        differentiable=True,
        value_range=(low, high),
        name=path.stem,
        prediction=prediction,
    )


def rows(path: Path, content: object) -> dict[str, str]:
    """What the file says, in words."""
    weights, betas = averaged(path, content)
    return {
        "network": f"Unet({_words(arguments_of(path, weights))})",
        "schedule": f"{len(betas)} betas",
    }


def arguments_of(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `Unet` that the shapes say. Raises `CheckpointError` where weights are
    missing, and `InvalidInput` for a network that reads its own estimate or learns frequencies.
    """
    try:
        dim = weights["time_mlp.1.weight"].shape[0] // 4
        channels = weights["final_conv.weight"].shape[0]
        heads, dim_head = (weights["mid_attn.mem_kv"].shape[k] for k in (1, 3))
        first = weights["init_conv.weight"].shape
        levels = len({name.split(".")[1] for name in weights if name.startswith("downs.")})
        steps = [f"downs.{i}.3.{'1.' if i < levels - 1 else ''}weight" for i in range(levels)]
        mults = tuple(weights[name].shape[0] // dim for name in steps)
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"{path}", given=f"no {error}", expected=f"the weights of a Unet of {PACKAGE}"
        ) from error
    if first[1] != channels or any(re.match(r"time_mlp\.0\.", name) for name in weights):
        raise InvalidInput(
            f"{path}",
            given=f"a Unet of {first[1]} channels in and {channels} out"
            + (" with learned frequencies" if first[1] == channels else ""),
            expected="as many, read from x_t alone and fixed frequencies of the time (not "
            "self_condition, learned_variance or learned_sinusoidal_cond)",
        )
    return {
        "dim": dim,
        "init_dim": first[0],
        "dim_mults": mults,
        "channels": channels,
        "attn_heads": heads,
        "attn_dim_head": dim_head,
        "full_attn": tuple(f"downs.{i}.2.to_out.weight" in weights for i in range(levels)),
    }


def averaged(path: Path, content: object) -> tuple[dict[str, Tensor], Tensor]:
    """The weights of the network, averaged where the file has them, and the betas."""
    assert isinstance(content, Mapping)
    for name, prefix in _PREFIXES:
        part = content.get(name)
        if isinstance(part, Mapping) and f"{prefix}betas" in part:
            start = f"{prefix}model."
            weights = {
                key.removeprefix(start): value
                for key, value in part.items()
                if key.startswith(start) and isinstance(value, torch.Tensor)
            }
            return weights_only.named(path, weights), part[f"{prefix}betas"]
    raise CheckpointError(f"{path}", given="no betas", expected=f"a model-N.pt of {PACKAGE}")


def _unet(path: Path, arguments: Mapping[str, Any]) -> nn.Module:
    try:
        from denoising_diffusion_pytorch import Unet
    except ImportError as error:
        raise InvalidInput(
            f"{path}",
            given=f"a checkpoint of {PACKAGE}, which cannot be imported here ({error})",
            expected="that package, which holds the network that these weights belong to",
            advice="run pip install denoising-diffusion-pytorch",
        ) from error
    result: nn.Module = Unet(**arguments)
    return result


def _words(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
