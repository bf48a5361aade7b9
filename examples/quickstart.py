"""From a frozen prior to posterior samples, in a minute or two on one core and without a download.

    python examples/quickstart.py

The training images are drawn from the prior itself, so that the example needs no data; with your
own,

    images = deft.data.ImageFolder("FOLDER", prior.event_shape, prior.value_range, convert="grey",
        fit="resize")
"""

from __future__ import annotations

import argparse
from pathlib import Path

import deft


def main(
    steps: int = 300,
    images: int = 512,
    prior_name: str = "digits-32",
    out: str = "outputs/quickstart.png",
) -> float:
    """Train, sample, save a picture; returns the PSNR of the posterior mean."""
    prior = deft.priors.load(prior_name)
    problem = deft.problems.Inpainting(masks="freeform", sigma_y=0.05)
    sampler = deft.DPMSolver(steps=20)

    clean = sampler(prior, images, seed=1, batch_size=64, progress=True)[0].clamp(-1, 1)
    train_images, test_images = clean[4:], clean[:4]

    h = deft.LearnedHTransform.for_prior(prior, fraction=0.05)
    deft.train(
        h,
        prior,
        deft.DenoisingScoreMatching(problem),
        train_images,
        steps=steps,
        learning_rate=2e-3,
        ema=0.99,
    )

    observation = problem.draw(test_images, deft.Noise(range(4)))
    posterior = deft.Posterior(
        prior, h, observation.to(prior.device)
    )  # training takes a GPU where there is one
    samples = sampler(posterior, num_samples=8, seed=0).cpu()  # (4, 8, 1, 32, 32)

    mean = samples.mean(1)
    quality = deft.metrics.psnr(mean, test_images, data_range=2.0)
    misfit = deft.metrics.misfit(samples[:, 0], observation)
    print(
        f"PSNR of the mean {quality.mean():.1f} dB; misfit of a sample "
        f"{deft.metrics.root_mean_square(misfit):.2f} (1 is right)"
    )

    rows = [
        [test_images[i], observation.y[i], samples[i, 0], samples[i, 1], mean[i]] for i in range(4)
    ]
    pictures = [[deft.reports.figure.picture(x.numpy(), (-1.0, 1.0)) for x in row] for row in rows]
    sheet = deft.reports.figure.grid(
        pictures, ["truth", "measurement", "sample", "another", "mean"]
    )
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_bytes(deft.reports.figure.png(sheet))
    print(f"wrote {out}")
    return float(quality.mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--images", type=int, default=512)
    arguments = parser.parse_args()
    main(arguments.steps, arguments.images)
