"""Velocity predictors, of flow matching and rectified flow, as priors, around any module.

    data_at=0    x_u = (1 - u) x_0 + u eps,    f(x_u, u) = E[eps - x_0 | x_u]
    data_at=1    x_u = u x_0 + (1 - u) eps,    f(x_u, u) = E[x_0 - eps | x_u]
    x_0_hat = x_u - u f                        (data_at=0; the other with u -> 1 - u, f -> -f)

Liu et al. 2023, arXiv:2209.03003; Lipman et al. 2023, arXiv:2210.02747. Either is the same process,
`RectifiedFlow`, whose log-SNR 2 log((1 - u) / u) is invertible, so that the prior runs under every
schedule (`Rescheduled`). Which of the two a module is no file says, so that `data_at` has no
default.
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
from deft.schedules import RectifiedFlow


def around(
    network: nn.Module,
    event_shape: Sequence[int],
    scale: float,
    *,
    data_at: int,
    time_scale: float = 1.0,
    t_min: float = 1e-3,
    value_range: tuple[float, float] | None = (-1.0, 1.0),
    context: Sequence[str] = (),
    name: str = "flow_matching",
) -> CallablePrior:
    """The prior of a module f(x_u, u `time_scale`); `scale` is the standard deviation of x_0,
    `t_min` how near to either end u goes, `context` what the module takes beside, by keyword.

    Raises `InvalidInput` for another `data_at` than 0 or 1, and for no module.
    """
    if data_at not in (0, 1) or isinstance(data_at, bool):
        raise InvalidInput(
            "data_at", given=data_at, expected="0 or 1: the time at which x_u is the data"
        )
    factor = checks.positive("time_scale", time_scale, "what the network is told of u = 1")
    schedule = RectifiedFlow(t_min)
    return CallablePrior(
        Told(
            module(network),
            lambda t: factor * (schedule.alpha(t) if data_at else schedule.sigma(t)),
            -1.0 if data_at else 1.0,
        ),
        schedule,
        event_shape,
        scale,
        differentiable=True,
        value_range=value_range,
        name=name,
        identity=f"flow matching, data at {data_at}, told {factor:g} u",
        prediction="velocity",
        context=context,
    )


def load(
    path: str | Path,
    network: nn.Module,
    event_shape: Sequence[int],
    scale: float,
    *,
    data_at: int,
    time_scale: float = 1.0,
    t_min: float = 1e-3,
    value_range: tuple[float, float] | None = (-1.0, 1.0),
    context: Sequence[str] = (),
    dtype: torch.dtype | None = None,
) -> CallablePrior:
    """As `around`, with the weights of a file (safetensors, or a state dict in a `.pt`) in the
    module.

    Raises `CheckpointError` for a file that is damaged, needs code, or has other weights.
    """
    path = Path(path).expanduser()
    return around(
        filled(path, network).to(dtype=dtype),
        event_shape,
        scale,
        data_at=data_at,
        time_scale=time_scale,
        t_min=t_min,
        value_range=value_range,
        context=context,
        name=path.stem,
    )
