"""A plain diffusers loop, conditioned by an h-transform: one line is new.

    python examples/diffusers_loop.py

With your own, `network` and `scheduler` are those of a pipeline of diffusers (`pipe.unet`,
`pipe.scheduler`). Here the network is the prior `digits-32`, which ships, made to predict the noise
under a table of betas, so that nothing is downloaded. The samples are those of `deft.DDIM`
with the same grid, to rounding.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from diffusers import DDIMScheduler
from torch import Tensor

import deft
from deft.interop.diffusers import conditioned, grid

Network = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def loop(
    network: Network,
    scheduler: DDIMScheduler,
    observation: deft.Observation,
    h: deft.HTransform,
    x_t: Tensor,
    steps: int,
) -> Tensor:
    """The loop that people write."""
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        noise_pred = network(x_t, timestep)  # unet(x_t, timestep).sample
        noise_pred = conditioned(noise_pred, x_t, timestep, scheduler, observation, h)  # new
        x_t = scheduler.step(noise_pred, timestep, x_t, eta=0.0).prev_sample
    return x_t


def main(steps: int = 20, samples: int = 4) -> float:
    """The loop beside our DDIM, from the same noise; returns the largest difference."""
    loaded = deft.load("h-digits-32-inpainting")
    scheduler = DDIMScheduler(
        beta_end=0.0195,  # noise that digits-32 knows
        clip_sample=False,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(steps)
    prior = deft.Rescheduled(loaded.prior, deft.VPTabulated(scheduler.betas.tolist()))

    def network(x_t: Tensor, timestep: Tensor) -> Tensor:
        t = (timestep / (len(scheduler.betas) - 1)).reshape(1)
        return prior.at(x_t, t).eps_hat

    digit = deft.DPMSolver(steps)(loaded.prior, 1, seed=1)[0]
    observation = loaded.problem.draw(digit, deft.Noise([0]))

    noise = deft.Noise(range(samples))
    theirs = loop(network, scheduler, observation, loaded.h, prior.initial(noise), steps)
    sampler = deft.DDIM(steps, grid=grid(scheduler))
    ours = sampler.run(deft.Posterior(prior, loaded.h, observation), noise)

    difference = float((ours - theirs).abs().max())
    misfit = deft.metrics.misfit(theirs, observation.repeat(samples))
    print(f"largest difference to deft.DDIM over {samples} samples: {difference:.1e}")
    print(f"misfit of the samples: {deft.metrics.root_mean_square(misfit):.2f} (1 is right)")
    return difference


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--samples", type=int, default=4)
    arguments = parser.parse_args()
    main(arguments.steps, arguments.samples)
