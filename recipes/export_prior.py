"""How a trained small prior becomes the file that ships, and whether it passes its gate.

    python recipes/export_prior.py digits-32 --data DIGITS_FOLDER --run runs/digits-32 --out \\
        src/deft/weights --sheets docs/priors

reads the moving average of the weights that `train_prior.py` left in RUN/state.pt, fits the gains
by noise level where the prior has them (deft.priors.unet), and writes OUT/<name>.safetensors with
its card, and a sheet of samples. The card holds the denoising error on held-out images by noise
level, per entry,

    error(log-SNR) = E || x_0 - D(x_t) ||^2 / dimensions,

of the prior and of two Gaussian denoisers fitted to the training images: the spectral one inside
the prior, and the best one, with a full covariance (over all places; principal axes over colours;
of few large images shrunk towards the spectral one). The gate: the prior's error is below that of
the full one at every noise level, and its samples are closer to held-out images in patch distance
than samples of the full Gaussian. The spectral one is where the prior starts, and what it is where
its gain is zero.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Protocol, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from train_prior import HOUNSFIELD, RECIPES, as_float, read, untrained

from deft.metrics import patch_distance
from deft.noise import Noise
from deft.priors import zoo
from deft.priors.spectral_gaussian import SpectralGaussian
from deft.priors.unet import UNetPrior
from deft.samplers.dpm_solver import DPMSolver

FACTS = {
    "digits-32": {
        "data": "MNIST (Y. LeCun, C. Cortes, C. Burges), padded from 28x28 to 32x32 with black",
        "terms": "MNIST is usually quoted as CC BY-SA 3.0",
        "split": "the first 55,000 training images train, the last 5,000 validate",
    },
    "natural-64": {
        "data": "30,000 training images of Tiny-ImageNet (Stanford CS231n; derived from "
        "ImageNet), 64x64 RGB, with flips",
        "terms": "ImageNet is for non-commercial research and education; these weights are meant "
        "for the same",
        "split": "train images train, validation images 0-499 validate, 500-999 test",
    },
    "ct-128": {
        "data": "axial CT slices averaged down to 128x128, first with flips and moved by up to 8 "
        "places, at the end as they are: 73 in Hounsfield units (SIIM/TCIA TCGA-LUAD, "
        "TCIA COVID-19-NY-SBU, "
        "16 slices each of an abdominal volume and of the UNC head volume) and some 800 of "
        "MosMedData, 8-bit, calibrated by their levels of air and soft tissue",
        "terms": "TCIA: CC BY; the abdominal volume (3D-IRCADb-01, by its layout) CC BY-NC-ND; "
        "MosMedData CC BY-NC-ND 3.0; the head volume is free for research. These weights "
        "are "
        "meant for non-commercial research, not for clinical use",
        "split": "by patient, two files of the same age in SIIM counting as one: train, val and "
        "test hold 65, 10 and 25 % of the patients in Hounsfield units; MosMedData, "
        "which holds one slice of each patient, trains (90 %) and validates (10 %)",
        "window": list(HOUNSFIELD),
        "unit": "[-1, 1] is the window in Hounsfield units, clipped",
    },
}


class Gaussian(Protocol):
    """A Gaussian fitted to images."""

    def denoise(self, x_t: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """The posterior mean."""

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draws."""


@final
class FullGaussian:
    """A Gaussian with a full covariance over places for each principal axis of the colours."""

    def __init__(self, images: Tensor) -> None:
        self.shape = tuple(images.shape[1:])
        channels = self.shape[0]
        self.mean, pixels, count = self._moments(images)
        self.axes = torch.linalg.eigh(pixels).eigenvectors.T.contiguous()
        self.vectors, self.values = [], []
        for c in range(channels):
            covariance = torch.zeros(self.mean[0].numel(), self.mean[0].numel())
            for chunk in images.split(2000):
                z = torch.einsum("c,bchw->bhw", self.axes[c], as_float(chunk) - self.mean).flatten(
                    1
                )
                covariance += z.T @ z
            values, vectors = torch.linalg.eigh(covariance / count)
            self.values.append(values.clamp(min=1e-6))
            self.vectors.append(vectors)

    @staticmethod
    def _moments(images: Tensor) -> tuple[Tensor, Tensor, int]:
        mean = sum(as_float(chunk).sum(0) for chunk in images.split(2000)) / len(images)
        pixels = torch.zeros(images.shape[1], images.shape[1])
        for chunk in images.split(2000):
            flat = (as_float(chunk) - mean).flatten(2)
            pixels += torch.einsum("bci,bdi->cd", flat, flat)
        return mean, pixels / (len(images) * mean[0].numel()), len(images)

    def denoise(self, x_t: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """The posterior mean."""
        centred = torch.einsum("dc,bchw->bdhw", self.axes, x_t - alpha_t * self.mean).flatten(2)
        a, s = alpha_t.reshape(-1, 1), sigma_t.reshape(-1, 1)
        parts = []
        for c, (values, vectors) in enumerate(zip(self.values, self.vectors)):
            gain = a * values / (a**2 * values + s**2)
            parts.append((gain * (centred[:, c] @ vectors)) @ vectors.T)
        rotated = torch.stack(parts, dim=1).reshape(x_t.shape)
        return self.mean + torch.einsum("dc,bdhw->bchw", self.axes, rotated)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draws."""
        z = noise.normal(0, (self.shape[0], self.mean[0].numel()))
        parts = [
            (values.sqrt() * z[:, c]) @ vectors.T
            for c, (values, vectors) in enumerate(zip(self.values, self.vectors))
        ]
        return self.mean + torch.einsum(
            "dc,bdhw->bchw", self.axes, torch.stack(parts, dim=1).reshape(n, *self.shape)
        )


@final
class ShrunkGaussian:
    """A Gaussian with the covariance C = share T + (1 - share) S, for images with more entries than
    there are images.

    S is that of the images, of low rank, and T the diagonal one of `spectral`, in whose basis all
    is computed. With R = I + W N^{-1} W^T and W^T W = a^2 (1 - share) S,

        (a^2 C + s^2 I)^{-1} = N^{-1} - N^{-1} W^T R^{-1} W N^{-1},    N = a^2 share T + s^2 I.
    """

    def __init__(self, images: Tensor, spectral: SpectralGaussian, share: float = 0.5) -> None:
        self.spectral, self.share, self.shape = spectral, share, tuple(images.shape[1:])
        self.mean = as_float(images).mean(0)
        rows = [
            spectral.basis(as_float(chunk) - self.mean).flatten(1) for chunk in images.split(500)
        ]
        self.rows = torch.cat(rows) / len(images) ** 0.5

    def choose(
        self, images: Tensor, shares: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)
    ) -> None:
        """The share with the least error on images, relative to that of the spectral one, at
        three noise levels.
        """

        def error(share: float) -> float:
            self.share, total = share, 0.0
            for k, log_snr in enumerate((-6.0, -2.0, 2.0)):
                alpha_t, sigma_t = (
                    torch.full((1, 1, 1, 1), torch.tensor(sign * log_snr).sigmoid().sqrt().item())
                    for sign in (1, -1)
                )
                x_t = alpha_t * images + sigma_t * Noise(range(len(images))).normal(k, self.shape)
                of = (self.spectral.denoise(x_t, alpha_t, sigma_t) - images).square().mean()
                total += float((self.denoise(x_t, alpha_t, sigma_t) - images).square().mean() / of)
            return total

        self.share = min(shares, key=error)

    def denoise(self, x_t: Tensor, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """The posterior mean; one noise level for all signals."""
        a, s = float(alpha_t.flatten()[0]), float(sigma_t.flatten()[0])
        variance, weight = self.spectral.variance.flatten(), (1 - self.share) ** 0.5
        n = a**2 * self.share * variance + s**2
        w = a * weight * self.rows
        solve = torch.linalg.cholesky(torch.eye(len(w)) + (w / n) @ w.T)
        r = self.spectral.basis(x_t - alpha_t * self.mean).flatten(1) / n
        r = r - torch.cholesky_solve(w @ r.T, solve).T @ w / n
        x = a * (self.share * variance * r + weight**2 * (r @ self.rows.T) @ self.rows)
        return self.mean + self.spectral.basis.inverse(x.reshape(x_t.shape))

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draws."""
        part = (self.share * self.spectral.variance).sqrt() * noise.normal(0, self.shape)
        drawn = (1 - self.share) ** 0.5 * noise.stream(1).normal(0, (len(self.rows),)) @ self.rows
        return self.mean + self.spectral.basis.inverse(part + drawn.reshape(n, *self.shape))


def fitted(images: Tensor, prior: UNetPrior, held_out: Tensor) -> Gaussian:
    """The best Gaussian: with a full covariance, or where images are few, with one shrunk so
    that it suits the held-out images best.
    """
    if len(images) > images[0].numel() // images.shape[1]:
        return FullGaussian(images)
    gaussian = ShrunkGaussian(images, prior.gaussian)
    gaussian.choose(as_float(held_out))
    print(f"of the covariance, {gaussian.share:g} is spectral", flush=True)
    return gaussian


@torch.no_grad()
def denoising_errors(
    prior: UNetPrior, gaussian: Gaussian, images: Tensor, levels: int, draws: int
) -> list[dict[str, float]]:
    """Errors on the same noisy images at evenly spaced log-SNRs; for the difference to the better
    Wiener filter also a standard error over images.

    Where little of the image is left, below a log-SNR of -7, each image is seen under `draws`
    noises, elsewhere under one.
    """
    low, high = prior.schedule.log_snr_range
    rows = []
    for k, log_snr in enumerate(torch.linspace(low + 0.5, high - 0.5, levels).tolist()):
        t = prior.schedule.time(torch.tensor([log_snr]))
        errors: dict[str, list[Tensor]] = {"prior": [], "spectral_wiener": [], "full_wiener": []}
        noises = draws if log_snr < -7 else 1
        for i, chunk in enumerate(images.split(64)):
            alpha_t, sigma_t = prior.levels(chunk, t)
            sums = {name: torch.zeros(len(chunk)) for name in errors}
            for draw in range(noises):
                x_t = alpha_t * chunk + sigma_t * Noise(range(64 * i, 64 * i + len(chunk))).stream(
                    draw
                ).normal(k, chunk.shape[1:])
                estimates = {
                    "prior": prior.denoise(x_t, t),
                    "spectral_wiener": prior.gaussian.denoise(x_t, alpha_t, sigma_t),
                    "full_wiener": gaussian.denoise(x_t, alpha_t, sigma_t),
                }
                for name, estimate in estimates.items():
                    sums[name] += (estimate - chunk).square().flatten(1).mean(1) / noises
            for name, values in sums.items():
                errors[name].append(values)
        joined = {name: torch.cat(parts) for name, parts in errors.items()}
        row = {
            "log_snr": round(log_snr, 3),
            "noises": noises,
            **{name: float(values.mean()) for name, values in joined.items()},
        }
        gap = joined["full_wiener"] - joined["prior"]
        rows.append(
            {
                **row,
                "full_wiener_minus_prior": float(gap.mean()),
                "standard_error": float(gap.std() / len(gap) ** 0.5),
            }
        )
        print("  ".join(f"{key} {value:.5g}" for key, value in rows[-1].items()), flush=True)
    return rows


def sheet(images: Tensor, columns: int, path: Path) -> None:
    """A PNG with the images in rows."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    rows = [
        np.concatenate(list(pixels[i : i + columns]), axis=1)
        for i in range(0, len(pixels), columns)
    ]
    page = np.concatenate(rows, axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(page[..., 0] if page.shape[-1] == 1 else page).save(path, optimize=True)


def below(errors: list[dict[str, float]]) -> bool:
    """Whether the prior's error is below that of the Gaussian with a full covariance at every
    noise level.
    """
    return all(row["prior"] < row["full_wiener"] for row in errors)


def measure_again(
    name: str, out: Path, training: Tensor, images: Tensor, levels: int, draws: int
) -> None:
    """New denoising errors on the card of a prior that was exported; its weights stay."""
    path = out / f"{name}.safetensors"
    card = zoo.card(path)
    prior = zoo.load(path)
    errors = denoising_errors(prior, fitted(training, prior, images), images, levels, draws)
    card["held_out_denoising_error"] |= {"images": len(images), "by_noise_level": errors}  # type: ignore[operator]
    gate = card["gate"]
    assert isinstance(gate, dict)
    gate["below_wiener_at_every_noise_level"] = below(errors)
    gate["passed"] = (
        gate["below_wiener_at_every_noise_level"] and gate["samples_closer_than_gaussian"]
    )
    zoo.save(path, prior, card)
    print(json.dumps(gate))


def main() -> None:
    """Measure, write, and say whether the gate is passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--run",
        type=Path,
        required=True,
        help="what train_prior.py left; not read with --errors-only",
    )
    parser.add_argument("--out", type=Path, default=Path("exported"))
    parser.add_argument("--sheets", type=Path, default=Path("docs/priors"))
    parser.add_argument(
        "--images", type=int, default=500, help="held-out images for the denoising error"
    )
    parser.add_argument(
        "--gain-images",
        type=int,
        default=1024,
        help="training images to which the gains are fitted, where the prior has them",
    )
    parser.add_argument("--samples", type=int, default=256, help="samples for the patch distance")
    parser.add_argument("--steps", type=int, default=50, help="evaluations per sample")
    parser.add_argument("--levels", type=int, default=12)
    parser.add_argument(
        "--draws", type=int, default=16, help="noises per image at the noisiest levels"
    )
    parser.add_argument(
        "--errors-only",
        action="store_true",
        help="measure the denoising errors of the prior in OUT again, and leave the rest",
    )
    parser.add_argument("--hardware", default="one core of an x86-64 CPU, bfloat16")
    parser.add_argument("--note", default="", help="what else there is to say about the training")
    parser.add_argument(
        "--unfinished", action="store_true", help="note on the card that training still goes on"
    )
    args = parser.parse_args()

    recipe = RECIPES[args.name]
    if args.errors_only:
        held_out = as_float(read(args.name, args.data, "val")[: args.images])
        measure_again(
            args.name,
            args.out,
            read(args.name, args.data, "train"),
            held_out,
            args.levels,
            args.draws,
        )
        return
    state = torch.load(args.run / "state.pt", weights_only=True)
    trained = untrained(args.name)
    trained.load_state_dict(state["average"])
    if trained.gain is not None:
        print("fitting the gains", flush=True)
        trained.fit_gain(as_float(read(args.name, args.data, "train")[: args.gain_images]))
        print(" ".join(f"{k:.3f}" for k in trained.gain), flush=True)
    path = args.out / f"{args.name}.safetensors"
    zoo.save(path, trained)
    prior = zoo.load(path)

    held_out = read(args.name, args.data, "val")
    print("fitting the full Gaussian", flush=True)
    gaussian = fitted(read(args.name, args.data, "train"), prior, held_out[: args.images])
    errors = denoising_errors(
        prior, gaussian, as_float(held_out[: args.images]), args.levels, args.draws
    )

    n = min(args.samples, len(held_out))
    print(f"drawing {n} samples", flush=True)
    samples = DPMSolver(steps=args.steps)(prior, n, seed=0, batch_size=32, progress=True)[0]
    real = as_float(held_out[-n:])
    distances = {
        "prior": patch_distance(samples, real),
        "full_gaussian": patch_distance(gaussian.sample(n, Noise(range(n))), real),
    }
    if len(held_out) >= 2 * n:
        distances["other_held_out_images"] = patch_distance(as_float(held_out[:n]), real)
    closer = sum(distances["prior"]) < sum(distances["full_gaussian"])
    card = {
        **FACTS[args.name],
        "training": {
            "recipe": f"recipes/train_prior.py {args.name}",
            "steps": int(state["step"]),
            "batch": recipe.batch,
            "seconds": round(float(state["seconds"])),
            "hardware": args.hardware,
            "finished": not args.unfinished,
            **({"note": args.note} if args.note else {}),
        },
        "held_out_denoising_error": {
            "images": min(args.images, len(held_out)),
            "unit": "mean square per entry, values in [-1, 1]",
            "by_noise_level": errors,
        },
        "patch_distance": {
            "samples": n,
            "sampler": f"DPMSolver(steps={args.steps})",
            "finest_level_first": distances,
        },
        "gate": {
            "below_wiener_at_every_noise_level": below(errors),
            "samples_closer_than_gaussian": closer,
            "passed": below(errors) and closer,
        },
    }
    zoo.save(path, prior, card)
    sheet(samples[:64], 16, args.sheets / f"{args.name}.png")
    print(json.dumps({"patch_distance": distances, "gate": card["gate"]}, indent=2))


if __name__ == "__main__":
    main()
