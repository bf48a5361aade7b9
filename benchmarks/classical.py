"""Reconstructions that know no diffusion, as methods of the quality benchmark: each gives one
image, which stands for all samples.

    filtered back-projection    lift(y)
    total variation             argmin ||y - A x||^2 / 2 + weight TV(x)   over the prior's range
    regression
            lift(y) + F(lift(y)), trained for one problem by benchmarks/regression.py

Total variation is isotropic, and its minimum is found with the primal-dual method of Chambolle &
Pock 2011 (doi:10.1007/s10851-010-0251-1, Algorithm 1), for K = (A / ||A||, grad / sqrt 8), whose
norm is at most sqrt 2; its weight is tuned like the parameters of all methods.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from setting import Setting
from torch import Tensor, nn

from deft.errors import CheckpointError, InvalidInput
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.metrics.image import psnr
from deft.networks import UNet
from deft.noise import Noise, mix
from deft.operators.tomography import Tomography
from deft.operators.units import InUnits
from deft.priors.base import Prior
from deft.priors.unet import UNetPrior
from deft.samplers.arguments import Seed
from deft.samplers.base import Draws, Sampling, Watch
from deft.samplers.conditional import gaussian
from deft.studies.method import Method
from deft.studies.tune import geometric_grid, tune
from deft.types import Signal


class Reconstruction(Sampling):
    """One image for each observation."""

    @abstractmethod
    def image(self, observation: Observation) -> Signal:
        """The reconstruction."""

    conditions = True

    def draw(
        self,
        prior: Prior,
        num_samples: int,
        *,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
        seed: Seed = 0,
        batch_size: int | None = None,
        on_step: Watch | None = None,
    ) -> Draws:
        with torch.no_grad():
            x_0 = self.image(self._given(prior, observation))
        return Draws(x_0[:, None].expand(-1, num_samples, *x_0.shape[1:]).contiguous())

    def check(
        self,
        prior: Prior,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
    ) -> None:
        self._given(prior, observation)

    def _given(self, prior: Prior, observation: Observation | None) -> Observation:
        name = type(self).__name__
        if observation is None:
            raise InvalidInput(f"{name} reconstructs an observation", given="none")
        gaussian(prior, observation, name)
        return observation


@final
class BackProjection(Reconstruction):
    """lift(y)."""

    def image(self, observation: Observation) -> Signal:
        return observation.lifted


@final
class TotalVariation(Reconstruction):
    """argmin ||y - A x||^2 / 2 + weight sum |grad x|, x in `value_range`; `iterations` of the
    primal-dual method.
    """

    def __init__(
        self, weight: float, value_range: tuple[float, float] = (-1.0, 1.0), iterations: int = 500
    ) -> None:
        self.weight, self.value_range, self.iterations = weight, value_range, iterations

    def image(self, observation: Observation) -> Signal:
        operator = observation.operator
        if not isinstance(operator, InUnits) or not isinstance(operator.operator, Tomography):
            raise InvalidInput(
                "TotalVariation takes tomography in units, whose norm is known; got "
                f"{type(operator).__name__}."
            )
        size = float(abs(operator.scale) * operator.operator.norm().max())
        x = extrapolated = observation.lifted.clamp(*self.value_range)
        b = observation.residual(torch.zeros_like(x)) / size
        p, q = torch.zeros_like(b), torch.zeros_like(gradient(x))
        step, radius = 2**-0.5, self.weight * 8**0.5 / size**2
        for _ in range(self.iterations):
            p = (p + step * (operator.linear(extrapolated) / size - b)) / (1 + step)
            q = q + step * gradient(extrapolated) / 8**0.5
            q = q / (q.norm(dim=2, keepdim=True) / radius).clamp(min=1)
            before, x = (
                x,
                (x - step * (operator.adjoint(p) / size + gradient_adjoint(q) / 8**0.5)).clamp(
                    *self.value_range
                ),
            )
            extrapolated = 2 * x - before
        return x

    def objective(self, observation: Observation, x: Signal) -> Tensor:
        """What is minimised, one number per image."""
        return observation.residual(x).flatten(1).square().sum(1) / 2 + self.weight * gradient(
            x
        ).norm(dim=2).flatten(1).sum(1)


def gradient(x: Signal) -> Tensor:
    """Differences to the next row and column, zero at the border: (batch, channels, 2, height,
    width).
    """
    return torch.stack(
        [torch.diff(x, dim=axis, append=x.narrow(axis, x.shape[axis] - 1, 1)) for axis in (2, 3)],
        dim=2,
    )


def gradient_adjoint(q: Tensor) -> Signal:
    """The adjoint of `gradient`."""
    total = torch.zeros_like(q[:, :, 0])
    for k, axis in enumerate((2, 3)):
        inner = q[:, :, k].narrow(axis, 0, q.shape[axis + 1] - 1)
        zero = torch.zeros_like(inner.narrow(axis, 0, 1))
        total = total - torch.diff(torch.cat([zero, inner, zero], dim=axis), dim=axis)
    return total


@final
class Regression(nn.Module):
    """lift + F(lift), with the U-Net of a prior."""

    def __init__(self, prior: UNetPrior) -> None:
        super().__init__()
        shape = {name: prior.config[name] for name in ("channels", "blocks", "patch", "attention")}
        channels = prior.event_shape[0]
        self.network = UNet(channels, channels, fine=int(prior.config.get("fine", 0)), **shape)  # type: ignore[arg-type]

    def forward(self, lifted: Signal) -> Signal:
        return lifted + self.network(lifted, lifted.new_zeros(len(lifted), 1)).float()

    @classmethod
    def read(cls, path: Path, prior: UNetPrior) -> tuple[Regression, dict[str, Any]]:
        """What benchmarks/regression.py wrote, with its card."""
        from safetensors.torch import load_file

        if not path.exists():
            raise CheckpointError(f"{path} does not exist; benchmarks/regression.py makes it.")
        made = cls(prior)
        made.load_state_dict(load_file(path))
        return made.eval().requires_grad_(False), json.loads(path.with_suffix(".json").read_text())


@final
class Regressed(Reconstruction):
    """The image of a network that was trained by regression."""

    def __init__(self, network: Regression) -> None:
        self.network = network

    def image(self, observation: Observation) -> Signal:
        return self.network(observation.lifted)


def methods(
    setting: Setting, name: str, validation: Signal, folder: Path, regression: Path | None
) -> list[Method]:
    """The methods in the section `classical` of the file; regression where there is a folder of
    its networks.
    """
    plan, found = setting.config["classical"], [Method("FBP", None, BackProjection())]
    table = _tuned(setting, name, validation, plan, folder / "tuned-tv.json")
    tv = TotalVariation(table["best"], iterations=plan["tv_iterations"])
    found.append(Method("TV", None, tv, tuned=table))
    if regression is not None:
        network, card = Regression.read(regression / f"{name}.safetensors", setting.prior)
        found.append(
            Method("Regression", None, Regressed(network), training_seconds=card["seconds"])
        )
    return found


def _tuned(
    setting: Setting, name: str, images: Signal, plan: Mapping[str, Any], out: Path
) -> dict[str, Any]:
    """The weight of total variation with the best PSNR on validation images, kept in a file."""
    if out.exists():
        return json.loads(out.read_text())
    seed = setting.config["tuning"]["seed"]
    observation = setting.problem(name).draw(
        images, Noise([mix(seed, 6, i) for i in range(len(images))])
    )

    def run(weight: float) -> float:
        return float(
            psnr(
                TotalVariation(weight, iterations=plan["tv_iterations"]).image(observation),
                images,
                2.0,
            ).mean()
        )

    result = tune(run, geometric_grid(*plan["tv_weight"]), metric="PSNR, dB", larger_is_better=True)
    card = {"parameter": "weight", "images": len(images), **result.card(), "best": result.value}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(card, indent=1))
    return card
