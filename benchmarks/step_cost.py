"""What a step costs, in forwards of the prior.

    python benchmarks/step_cost.py [--out benchmarks/results/step_cost.json]

One process, one thread, CPU seconds (other work on the machine does not count), interleaved
repeats, ratios of medians: a DEFT sampling step (prior + h-transform + DDIM), a DEFT training step
(loss, backward, clip, AdamW, moving average), a DPS sampling step, each over one forward of the
prior alone. Weights are random: they do not change what a step costs. It also asserts that sampling
and training keep no graph of the prior, and reports the activation memory that training keeps for
its backward pass.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from deft.htransforms.dps import DPS
from deft.htransforms.learned import LearnedHTransform
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.unet import UNetPrior
from deft.problems import Inpainting
from deft.samplers.ddim import DDIM
from deft.schedules import VPLinear, VPTabulated
from deft.steps import State
from deft.training.batch import Batch
from deft.training.denoising import DenoisingScoreMatching


def natural_prior() -> Prior:
    """The architecture of the shipped `natural-64`."""
    return UNetPrior(
        (3, 64, 64),
        VPLinear(),
        channels=(96, 128, 144),
        blocks=2,
        patch=4,
        attention=(False, True, True),
        basis="low-principal",
        fine=24,
        gains=25,
    )


def ddpm_prior() -> Prior:
    """A DDPM U-Net of 20 M parameters at full resolution, 64x64, from diffusers."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    from deft.priors.diffusers import DiffusersPrior

    network = UNet2DModel(
        sample_size=64,
        in_channels=3,
        out_channels=3,
        block_out_channels=(64, 128, 192, 256),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )
    return DiffusersPrior(network, VPTabulated.linear(), prediction_type="epsilon", scale=0.5)


def kept_for_backward(run: Callable[[], Tensor], owned: set[int]) -> float:
    """MiB that autograd keeps for the backward pass of `run`, parameters (`owned`) left out."""
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        if value.untyped_storage().data_ptr() not in owned:
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        result = run()
    del result
    return sum(kept.values()) / 2**20


def storages(*modules: nn.Module) -> set[int]:
    """The addresses of all parameters and buffers."""
    return {
        v.untyped_storage().data_ptr() for m in modules for v in [*m.parameters(), *m.buffers()]
    }


def measure(prior: Prior, fraction: float, batch: int, repeats: int) -> dict[str, object]:
    """The ratios for one prior."""
    prior.frozen()
    h = LearnedHTransform.for_prior(prior, fraction=fraction)
    problem = Inpainting(masks="freeform", sigma_y=0.05)
    noise = Noise(range(batch))
    x_0 = noise.normal(0, prior.event_shape).clamp(-1, 1)
    observation = problem.draw(x_0, noise)
    sampler = DDIM(steps=100)
    grid = sampler.grid.times(prior.schedule, 100)
    t, s = grid[50:51], grid[51:52]
    x_t = noise.normal(1, prior.event_shape)
    posterior, dps = Posterior(prior, h, observation), Posterior(prior, DPS(1.0), observation)
    optimiser = torch.optim.AdamW(h.parameters(), lr=1e-4)
    average = [p.detach().clone() for p in h.parameters()]
    objective = DenoisingScoreMatching(problem)

    @torch.no_grad()
    def forward() -> None:
        prior.denoise(x_t, t)

    @torch.no_grad()
    def deft_step() -> None:
        sampler.step(posterior, State(x_t, t), s, noise)

    @torch.no_grad()
    def dps_step() -> None:
        sampler.step(dps, State(x_t, t), s, noise)

    def loss() -> Tensor:
        return objective.loss(h, prior, Batch(x_0, noise)).value.mean()

    def training_step() -> None:
        optimiser.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(h.parameters(), 1.0)
        optimiser.step()
        torch._foreach_lerp_(average, [p.detach() for p in h.parameters()], 0.001)

    def prior_with_graph() -> Tensor:
        return prior.denoise(x_t.clone().requires_grad_(), t)

    parts = {
        "prior forward": forward,
        "DEFT sampling step": deft_step,
        "DEFT training step": training_step,
        "DPS sampling step": dps_step,
    }
    for part in parts.values():
        part()
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            begin = time.process_time()
            part()
            seconds[name].append(time.process_time() - begin)
    base = statistics.median(seconds["prior forward"])
    with torch.no_grad():
        sampled = sampler.step(posterior, State(x_t, t), s, noise).x_t
    assert sampled.grad_fn is None, "sampling keeps a graph"
    owned = storages(prior, h)
    denoised_without = kept_for_backward(lambda: prior.at(x_t, t).x_0_hat, owned)
    assert denoised_without == 0, "a frozen prior keeps activations"
    with torch.no_grad():
        denoised = prior.at(x_t, t)
    h_alone = kept_for_backward(lambda: h.shift(denoised, observation), owned)
    return {
        "prior_parameters": prior.num_parameters,
        "h_parameters": h.num_parameters,
        "h_fraction": round(h.num_parameters / prior.num_parameters, 4),
        "batch": batch,
        "repeats": repeats,
        "prior_forward_ms_per_image": round(1e3 * base / batch, 2),
        "ratios": {
            name: {
                "median": round(statistics.median(s) / base, 3),
                "min": round(min(s) / base, 3),
                "max": round(max(s) / base, 3),
            }
            for name, s in seconds.items()
        },
        "kept_for_backward_mib_per_image": {
            "DEFT training": round(kept_for_backward(loss, owned) / batch, 3),
            "h-transform alone": round(h_alone / batch, 3),
            "prior, as DPS differentiates it": round(
                kept_for_backward(prior_with_graph, owned) / batch, 3
            ),
            "DEFT sampling": 0.0,
        },
    }


def main() -> None:
    """Measure both priors and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fraction", type=float, default=0.05)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/step_cost.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results: dict[str, object] = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": args.threads,
    }
    for name, make in (
        ("natural-64 architecture", natural_prior),
        ("DDPM U-Net 64x64", ddpm_prior),
    ):
        results[name] = measure(make(), args.fraction, args.batch, args.repeats)
        print(name, json.dumps(results[name], indent=1))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
