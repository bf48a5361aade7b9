"""One wrong command, and what it must say."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

TRAIN = (
    "train --prior {w}/tiny.safetensors --problem Inpainting --problem.masks box "
    "--problem.sigma_y 0.05 --images {w}/images --out out --steps 2 --batch_size 2 "
    "--validation_share 0"
)
SAMPLE = "sample --h {w}/run --images {w}/two --out out --samples 1 --steps 2"
MEASURED = "sample --h {w}/run --measurements {w}/two --out out --samples 1 --steps 2"
WITHOUT = (
    "sample --prior {w}/tiny.safetensors --problem Inpainting --problem.masks box "
    "--problem.sigma_y 0.05 --images {w}/two --out out --samples 1"
)
EVALUATE = (
    "evaluate --config {w}/yaml/evaluate.yaml --prior {w}/tiny.safetensors --problem Inpainting "
    "--problem.masks box --problem.sigma_y 0.05 --images {w}/two "
    "--out out --samples 1"
)
CONFORMAL = "conformal --h {w}/run --images {w}/images --out out --samples 2 --steps 2 --level 0.8"
CALIBRATED = "sample --h {w}/calibrated --images {w}/two --out out --samples 2 --steps 2"
ALARM = "alarm --h {w}/run --images {w}/many --out out --samples 1 --steps 2 --noise_images 2"
DEMO = (
    "demo --quick true --prior {w}/tiny.safetensors --images {w}/images --out out --open_report "
    "false"
)
FOREIGN = (
    "--schedule linear --prediction_type epsilon --details.num_head_channels 16 "
    "--details.attention_order legacy --details.image_size 8 --details.value_range [-1,1]"
)
SCAN = (
    "sample --prior {w}/scans/complex.safetensors --problem MultiCoilMRI --problem.sigma_y 0.01 "
    "--method PiGDM --method.steps 2 --samples 1 --out out"
)
COILS = SCAN + " --measurements {w}/scans/k.npy"
MAPS = SCAN + " --sensitivities {w}/scans/maps.npy"
EXPORT = f"export {{w}}/adm.pt --to diffusers --out out {FOREIGN}"
ADAPT = (
    "adapt --h {w}/run --problem SuperResolution --problem.factor 2 --problem.sigma_y 0.1 "
    "--images {w}/images --out out --steps 2 --batch_size 2 --validation_share 0"
)
CT = (
    "train --prior {w}/tiny.safetensors --problem Tomography --problem.views 8 --problem.window "
    "[-1000,1500] --out out --steps 2 --batch_size 2 "
    "--validation_share 0"
)
DISTIL = "distil --h {w}/run --images {w}/images --out out --steps_to 2 --steps 2 --batch_size 2"
BANK = (
    "bank --prior {w}/tiny.safetensors --images {w}/images --size 4 --out out --validation_share 0"
)
SERVE = "serve-prior --prior {w}/tiny.safetensors --port 0"
SCAFFOLD = (
    "scaffold --problem {w}/protein/motif.pdb --designs 1 --prior {w}/protein/tiny.safetensors "
    "--method Unconditional --steps 2 --out out --judge false --page false"
)
CONTIG = (
    "scaffold --pdb {w}/protein/chain.pdb --contig 5/A3-12/5 --designs 1 "
    "--prior {w}/protein/tiny.safetensors --method Unconditional --steps 2 --out out "
    "--judge false --page false"
)
CHAINS = (
    "train --prior {w}/protein/tiny.safetensors --problem MotifScaffolding "
    "--images {w}/protein/chains.npz --out out --steps 2 --batch_size 2 --validation_share 0"
)
APP = "app --port 0 --open_page false"
RIGHT = (
    TRAIN,
    BANK,
    DISTIL,
    SAMPLE,
    MEASURED,
    WITHOUT + " --method DPS --method.steps 2",
    EVALUATE,
    ADAPT,
    CONFORMAL,
    CALIBRATED,
    ALARM,
    EXPORT,
    CT + " --images {w}/ct",
    COILS + " --sensitivities {w}/scans/maps.npy",
    SCAFFOLD,
    CONTIG,
    CHAINS,
    "scaffold --problem {w}/protein/motif.pdb --h {w}/protein/h.safetensors -n 1 --steps 2 "
    "--out out --judge false --page false",
)
"""Commands that work, so that what is wrong in a row is what its second part says."""


@dataclass(frozen=True)
class Row:
    """A command that works, what makes it wrong, and parts of the one line that it must say: which
    option or file, what was given, what is expected, what to do.

    `before` is a folder that is there as `out` when the command begins. `status` 0 marks what is
    done with a warning; `keeps` a run that may leave its state. {w} is the folder of
    `tests.bad_input.world`, {api} the address of `tests.bad_input.api`.
    """

    base: str
    wrong: str
    says: tuple[str, ...]
    before: str = ""
    status: int = 2
    keeps: bool = False

    def arguments(self, world: Path) -> list[str]:
        """What is typed."""
        return [
            _filled(part, world) for part in (*shlex.split(self.base), *shlex.split(self.wrong))
        ]

    def missing(self, said: str, world: Path) -> list[str]:
        """The parts that a line does not say."""
        return [part for part in self.says if _filled(part, world) not in said]

    @property
    def command(self) -> str:
        """The name of the command."""
        return shlex.split(self.base)[0] if self.base else ""

    def __str__(self) -> str:
        return f"{self.command} {self.wrong or self.base.removeprefix(self.command)}".strip()


def _filled(part: str, world: Path) -> str:
    """With the folder in place of {w}, and the address of its server in place of {api}."""
    if "{api}" in part:
        part = part.replace("{api}", (world / "api").read_text())
    return part.replace("{w}", str(world))
