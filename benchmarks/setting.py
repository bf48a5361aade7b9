"""What the quality benchmarks share: a YAML file, the prior that it names, and the data, whose
place is an argument.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
import yaml
from torch import Tensor

from deft.likelihoods import Observation
from deft.noise import Noise, mix
from deft.priors import zoo
from deft.priors.precision import settled
from deft.priors.unet import UNetPrior
from deft.problems import Problem, from_card
from deft.samplers.grids import TimeGrid, UniformLogSNR, UniformTime

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
from draws import drawn, keep
from train_prior import READERS, as_float

__all__ = ["Setting", "drawn", "keep"]


@final
@dataclass(frozen=True)
class Setting:
    """A YAML file of benchmarks/quality, with what it names."""

    config: dict[str, Any]
    prior: UNetPrior
    data: Path

    @classmethod
    def of(cls, parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, Setting]:
        """Adds the arguments that all scripts have (config, --data, --out, --threads), reads the
        command line, and loads.
        """
        parser.add_argument("config", type=Path)
        parser.add_argument("--data", type=Path, required=True)
        parser.add_argument("--out", type=Path, required=True)
        parser.add_argument("--threads", type=int, default=1)
        args = parser.parse_args()
        if not args.data.is_dir():
            parser.error(
                f"--data {args.data} is no folder; this benchmark needs the data that "
                "recipes/train_prior.py describes"
            )
        torch.set_num_threads(args.threads)
        config = yaml.safe_load(args.config.read_text())
        prior = zoo.load(config["prior"])
        prior.precision = settled(prior, config.get("precision", "fp32"), args.out)
        return args, cls(config, prior, args.data)

    def images(self, split: str, count: int | None = None, start: int = 0) -> Tensor:
        """`count` images of a split, from `start` on, in the prior's range."""
        stop = None if count is None else start + count
        return as_float(READERS[self.config["data"]](self.data, split)[start:stop])

    def problem(self, name: str) -> Problem:
        """A problem by its name in the file."""
        return from_card(self.config["problems"][name])

    def observation(self, name: str, test: Tensor) -> Observation:
        """The measurements of the first test images that benchmarks/quality.py draws."""
        return self.problem(name).draw(
            test, Noise([mix(self.config["seed"], 4, i) for i in range(len(test))])
        )

    @property
    def grid(self) -> TimeGrid:
        """The times of DEFT's sampler."""
        plan = self.config["deft"]
        return UniformLogSNR(plan["log_snr"]) if "log_snr" in plan else UniformTime()
