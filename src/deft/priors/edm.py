"""EDM-preconditioned networks as priors, around any module.

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise),    x = x_0 + sigma eps
    c_skip = s^2 / (sigma^2 + s^2),    c_out = sigma s / sqrt(sigma^2 + s^2),
    c_in = 1 / sqrt(sigma^2 + s^2),    c_noise = log(sigma) / 4

with s = `sigma_data`, the standard deviation of x_0. Karras et al. 2022, arXiv:2206.00364, table 1.
A module is either F, told c_noise, or D, told sigma. The pickles of the original repository hold
the source code of their network, which would have to be executed; they are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from deft import checks
from deft.errors import InvalidInput
from deft.priors.callable import CallablePrior
from deft.priors.modules import Told, filled, module
from deft.priors.predictions import EDMPreconditioned
from deft.schedules import EDM

_MARKS = (b"torch_utils", b"dnnlib", b"EDMPrecond")


def around(
    network: nn.Module,
    event_shape: Sequence[int],
    *,
    told: str,
    sigma_data: float = 0.5,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    value_range: tuple[float, float] | None = (-1.0, 1.0),
    context: Sequence[str] = (),
    name: str = "edm",
) -> CallablePrior:
    """The prior of a module: F where it is `told` "c_noise", D where it is `told` "sigma";
    `context` names what it takes beside, by keyword.

    Raises `InvalidInput` for another `told`, for levels that are no range, and for no module.
    """
    checks.name("told", told, ["c_noise", "sigma"])
    preconditioned = EDMPreconditioned(sigma_data)
    schedule = EDM(sigma_min, sigma_max)
    raw = told == "c_noise"
    return CallablePrior(
        Told(
            module(network),
            (lambda t: schedule.sigma(t).log() / 4) if raw else schedule.sigma,
        ),
        schedule,
        event_shape,
        preconditioned.sigma_data,
        differentiable=True,
        value_range=value_range,
        name=name,
        identity=f"edm, told {told}, sigma_data {preconditioned.sigma_data:g}",
        prediction=preconditioned if raw else "x_0",
        context=context,
    )


def load(
    path: str | Path,
    network: nn.Module,
    event_shape: Sequence[int],
    *,
    told: str,
    sigma_data: float = 0.5,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    value_range: tuple[float, float] | None = (-1.0, 1.0),
    context: Sequence[str] = (),
    dtype: torch.dtype | None = None,
) -> CallablePrior:
    """As `around`, with the weights of a file (safetensors, or a state dict in a `.pt`) in the
    module.

    Raises `InvalidInput` for a pickle of the original repository, and `CheckpointError` for a file
    that is damaged, needs code, or has other weights than the module.
    """
    path = Path(path).expanduser()
    refuse_pickle(path)
    return around(
        filled(path, network).to(dtype=dtype),
        event_shape,
        told=told,
        sigma_data=sigma_data,
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        value_range=value_range,
        context=context,
        name=path.stem,
    )


def refuse_pickle(path: Path) -> None:
    """Raise `InvalidInput` for a pickle of the original repository, with how to convert it."""
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return  # who reads the file says why
    if head.startswith(b"\x80") and any(mark in head for mark in _MARKS):
        raise InvalidInput(
            f"{path}",
            given="a pickle of EDM, which holds the source code of its network",
            expected="weights alone: reading it would execute that code",
            advice="in a clone of the original repository, which you trust: net = "
            "pickle.load(open(FILE, 'rb'))['ema']; torch.save(net.state_dict(), 'edm.pt'); then "
            "deft.priors.edm.load('edm.pt', net, (3, net.img_resolution, net.img_resolution), "
            "told='sigma', sigma_data=net.sigma_data)",
        )
