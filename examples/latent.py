"""A latent prior, made here: an autoencoder, a prior of its latents, and an h-transform in latent
space; its posterior beside that of DEFT in pixel space, on the same problem.

    python examples/latent.py

1. Digits are drawn from the prior that ships, so that the example needs no data.
2. An AutoencoderKL and a UNet2DModel of diffusers are trained, and saved as a pipeline: `vae/`,
   `unet/` and `scheduler/`, the form in which such priors are published.
3. `deft.priors.load(FOLDER)` reads it; from here on nothing speaks of latents.

A box of half of the width is missing from each digit, and what is left is noisy. It takes about
eight minutes of one core, most of them for the two networks.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DModel
from torch import Tensor, nn

import deft

LEVEL = 0.8  # of the credible intervals that are counted


def autoencoder() -> Any:
    """(1, 32, 32) to (4, 8, 8): a quarter of the numbers."""
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 24, 32),
        norm_num_groups=8,
        latent_channels=4,
        mid_block_add_attention=False,
        sample_size=32,
    )


def network_of_latents() -> Any:
    return UNet2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(48, 64),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=16,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )


def fit(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    data: Tensor,
    steps: int,
    batch: int,
    what: str,
) -> nn.Module:
    """The average of the weights over Adam's steps; `loss` of the items of a batch."""
    average = copy.deepcopy(network).requires_grad_(False)
    adam = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * (1 - step / steps)
        value = loss(data[torch.randint(len(data), (batch,))])
        adam.zero_grad()
        value.backward()
        adam.step()
        with torch.no_grad():
            decay = min(0.995, (1 + step) / (10 + step))
            for mean, now in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        if step % 200 == 0 or step == steps - 1:
            print(f"{what}: step {step + 1} of {steps}, loss {value.item():.4f}", flush=True)
    return average.eval()


def trained_pipeline(images: Tensor, folder: Path, steps: tuple[int, int]) -> None:
    """Train both networks on `images`, and save them as diffusers does."""
    torch.manual_seed(0)
    vae = autoencoder()

    def reconstruction(x: Tensor) -> Tensor:
        found = vae.encode(x).latent_dist
        error = (vae.decode(found.sample()).sample - x).square().mean()
        return error + 1e-4 * found.kl().mean() / found.mean[0].numel()

    vae = fit(vae, reconstruction, images, steps[0], 32, "autoencoder")
    with torch.no_grad():
        raw = torch.cat([vae.encode(part).latent_dist.mode() for part in images.split(64)])
    vae.register_to_config(scaling_factor=float(1 / raw.std()), shift_factor=float(raw.mean()))
    latents = (raw - raw.mean()) / raw.std()

    unet, scheduler = network_of_latents(), DDPMScheduler(clip_sample=False)

    def denoising(z: Tensor) -> Tensor:
        k, eps = torch.randint(1000, (len(z),)), torch.randn_like(z)
        return (unet(scheduler.add_noise(z, eps, k), k).sample - eps).square().mean()

    unet = fit(unet, denoising, latents, steps[1], 64, "prior of latents")
    for name, part in (("vae", vae), ("unet", unet), ("scheduler", scheduler)):
        part.save_pretrained(folder / name)


def measures(prior: deft.Prior, posterior: deft.Posterior, truth: Tensor, samples: int) -> Any:
    """Samples of a posterior, decoded, and what they are worth."""
    began = time.process_time()
    x = prior.decode(deft.DPMSolver(20)(posterior, samples, seed=0))
    seconds = (time.process_time() - began) / (len(x) * samples)
    hole = deft.metrics.calibration.uncertain(x, truth, 0.1)
    ranks = deft.metrics.calibration.ranks(x, truth)
    covered = deft.metrics.calibration.coverage(ranks, samples, [LEVEL], where=hole)
    return x, {
        "PSNR of the mean": float(deft.metrics.psnr(x.mean(1), truth, 2.0).mean()),
        "CRPS": float(deft.metrics.calibration.crps(x, truth).mean()),
        f"coverage of {LEVEL:.0%}": covered.values[0],
        "ms a sample": 1000 * seconds,
    }


def main(
    images: int = 1536,
    steps: tuple[int, int, int] = (800, 1500, 400),
    test: int = 16,
    samples: int = 16,
    out: str = "outputs/latent",
) -> dict[str, dict[str, float]]:
    """Make all of it, and compare; returns the figures."""
    folder = Path(out)
    pixels = deft.load("h-digits-32-box")  # pixel-space DEFT, as it ships
    problem = pixels.problem
    digits = deft.DPMSolver(12)(pixels.prior, images + test, seed=1, batch_size=64, progress=True)
    digits = digits[0].clamp(-1, 1)
    train, truth = digits[test:], digits[:test]

    trained_pipeline(train, folder / "pipeline", steps[:2])
    prior = deft.priors.load(folder / "pipeline")
    h = deft.LearnedHTransform.for_prior(prior, fraction=0.2)
    objective = deft.DenoisingScoreMatching(problem)
    deft.train(h, prior, objective, train, steps=steps[2], learning_rate=2e-3, ema=0.99)
    assert prior.codec is not None
    print(
        f"the autoencoder leaves {prior.codec.error:.3f} of y out; sigma_y is {problem.sigma_y}, "
        "and h is told both"
    )

    observation = problem.draw(truth, deft.Noise(range(test)))
    posteriors = {
        "latent": (prior, deft.Posterior(prior, h.cpu(), observation)),
        "pixels": (pixels.prior, deft.Posterior(pixels.prior, pixels.h, observation)),
    }
    drawn, figures = {}, {}
    for name, (space, posterior) in posteriors.items():
        drawn[name], figures[name] = measures(space, posterior, truth, samples)
    seen = prior.decode(prior.encode(truth))
    figures["autoencoder alone"] = {
        "PSNR of the mean": float(deft.metrics.psnr(seen, truth, 2.0).mean())
    }
    for name, found in figures.items():
        print(name.ljust(18), ", ".join(f"{what} {value:.3g}" for what, value in found.items()))

    columns = ["truth", "measurement", *("latent sample",) * 3, "mean", "deviation"]
    columns += [*("pixel sample",) * 3, "mean", "deviation"]
    rows = [
        [truth[i], observation.y[i]]
        + [
            one
            for name in ("latent", "pixels")
            for one in (*drawn[name][i, :3], drawn[name][i].mean(0), 2 * drawn[name][i].std(0) - 1)
        ]
        for i in range(min(6, test))
    ]
    sheet = deft.reports.figure.grid(
        [[deft.reports.figure.picture(x.numpy(), (-1.0, 1.0)) for x in row] for row in rows],
        columns,
        scale=2,
    )
    (folder / "posteriors.png").write_bytes(deft.reports.figure.png(sheet))
    print(f"wrote {folder / 'posteriors.png'} and {folder / 'pipeline'}")
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1536)
    parser.add_argument("--out", default="outputs/latent")
    arguments = parser.parse_args()
    main(arguments.images, out=arguments.out)
