"""The weights of a network that diffusers saved: all of them, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from deft.errors import CheckpointError, first_line
from deft.priors.details import listed


def read(
    cls: Any, root: Path, given: str | Path, dtype: torch.dtype | None, variant: str | None
) -> nn.Module:
    """The network of this class of diffusers with the weights in a folder, which an error calls
    `given`. Raises `CheckpointError` where they cannot be read, are missing, or are more.
    """
    network: nn.Module
    try:
        network, info = cls.from_pretrained(
            str(root),
            torch_dtype=dtype,
            low_cpu_mem_usage=False,
            local_files_only=True,
            variant=variant,
            output_loading_info=True,
        )
    except PermissionError as error:
        raise CheckpointError(
            f"{error.filename or root} cannot be read: permission denied."
        ) from error
    # diffusers raises OSError, ValueError, RuntimeError and safetensors' own for one damaged file
    except Exception as error:
        raise CheckpointError(
            f"the weights of {given} could not be read ({first_line(error)}); save or download "
            "them again."
        ) from error
    lacking, extra = (
        sorted(str(one) for one in info.get(said, []))
        for said in ("missing_keys", "unexpected_keys")
    )
    said = []
    if lacking:
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        said.append(f"missing {listed(lacking, shapes)}")
    if extra:
        said.append(f"not of this network {listed(extra, _shapes(root))}")
    if said:
        raise CheckpointError(
            f"the weights of {given}",
            given="; ".join(said),
            expected=f"the weights of the {cls.__name__} that config.json describes, all of them "
            "and no others",
        )
    return network


def _shapes(root: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in the safetensors files of a folder."""
    from safetensors import safe_open

    found: dict[str, tuple[int, ...]] = {}
    for path in root.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            names = file.keys()
            found |= {name: tuple(file.get_slice(name).get_shape()) for name in names}
    return found
