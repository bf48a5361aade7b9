"""Where a number came from: the commit, the command, the versions, the machine."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path


def commit() -> str | None:
    """The commit of the library's own source, with `+changes` where tracked files differ from it;
    None outside a checkout.
    """
    here = Path(__file__).resolve()
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    head = _git(here.parent, "rev-parse", "HEAD")
    changes = _git(
        here.parent, "status", "--porcelain", "--untracked-files=no", ":/src", ":/pyproject.toml"
    )
    return f"{head}+changes" if changes else head


def command() -> str:
    """The command line of this process, without the folder of the program."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def versions() -> dict[str, str]:
    """The versions that numbers may depend on."""
    import numpy
    import torch

    try:
        own = metadata.version("deft-diffusion")
    except metadata.PackageNotFoundError:
        from deft import __version__ as own
    return {
        "deft": own,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def machine(device: str) -> str:
    """Device, system and number of threads: what seconds depend on."""
    import torch

    threads = torch.get_num_threads()
    processor = f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor
    return f"{name}, {platform.system()}"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
