"""`deft export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from deft.commands import priors
from deft.errors import InvalidInput
from deft.priors.details import Details

EXAMPLE = "deft export ffhq_10m.pt --to diffusers --out ffhq"
HELP = {
    "source": "a checkpoint of guided-diffusion, or a diffusers folder, as --prior of deft train",
    "to": "the form: diffusers",
    "out": "a new folder",
    **priors.HELP,
}
POSITIONAL = True


def run(
    source: str,
    to: Literal["diffusers"] = "diffusers",
    out: Path | None = None,
    subfolder: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    details: Details | None = None,
) -> None:
    """Write a prior in the form of another library, which then reads it without this one.

    The folder is read back, and must answer like the prior; one that has no such form is refused.
    """
    if not source.strip():
        raise InvalidInput("SOURCE", given="nothing", expected=HELP["source"])
    if out is None:
        raise InvalidInput("out", given="nothing", expected="a value: this command needs it")
    from deft.priors.diffusers_export import export

    found = priors.described(source, None, subfolder, schedule, prediction_type, details=details)
    folder = export(found, out)
    print(f"{folder}: {found.name}, {found.num_parameters:,} parameters, as {to} reads it")
