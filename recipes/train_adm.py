"""A small network of the form of guided-diffusion, trained on digits: a fixture of the tests.

    python recipes/train_adm.py --data DIGITS_FOLDER --out runs/adm-digits --minutes 11
    python recipes/train_adm.py --data DIGITS_FOLDER --out runs/adm-digits-2 --minutes 7 --noisy 0.5
            --initial runs/adm-digits/adm_digits.pt

Digits of 28 x 28 pixels, padded to 32 and averaged to 16, in (-1, 1). Two levels of 32 and 64
channels, both with attention of 2 heads (of 16 and of 32 channels), learned variance, the linear
table of 1000 betas, epsilon. Loss, with v the output for the variance (Nichol & Dhariwal 2021,
arXiv:2102.09672, eq. 15-16):

    || eps - eps_hat ||^2 + lambda KL( q(x_{k-1} | x_k, x_0) || N(mean, exp(v log beta_k
        + (1 - v) log beta~_k)) ),    the mean without gradient

`--noisy` is the share of a batch whose k is above 500, where the rest is uniform. The moving
average is written as guided-diffusion would have written it, in half precision
(`OUT/adm_digits.pt`; the fixture of the tests holds its tensors as safetensors), with images drawn
from the prior that ships, digits-32 (`OUT/adm_digits.npy`).
"""

from __future__ import annotations

import argparse
import copy
import gzip
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deft import priors
from deft.priors import adm, adm_keys
from deft.priors.adm_layout import Layout
from deft.samplers.dpm_solver import DPMSolver

LAYOUT = Layout(1, 2, 32, (32, 64), 1, (True, True), True, "resnet", None)
SIZE, HEADS, LAMBDA, DECAY = 16, 2, 1e-3, 0.998


def digits(folder: Path) -> Tensor:
    """The training images, (n, 1, 16, 16), values in (0, 255)."""
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    padded = torch.nn.functional.pad(torch.from_numpy(pixels.copy()), (2, 2, 2, 2))
    return torch.nn.functional.avg_pool2d(padded.float(), 2)


def loss(unet: torch.nn.Module, x_0: Tensor, betas: Tensor, k: Tensor, eps: Tensor) -> Tensor:
    """The loss of one batch, at the entries k."""
    products = (1 - betas).cumprod(0)
    before = torch.cat([torch.ones(1), products[:-1]])
    usual = betas * (1 - before) / (1 - products)  # beta~, 0 at the first entry
    usual[0] = usual[1]

    def at(values: Tensor) -> Tensor:
        return values[k][:, None, None, None]

    x_k = at(products).sqrt() * x_0 + (1 - at(products)).sqrt() * eps
    out, v = unet(x_k, k).sample.chunk(2, 1)
    share = (v + 1) / 2
    log_variance = share * at(betas).log() + (1 - share) * at(usual).log()
    gap = at(betas) / ((1 - at(betas)).sqrt() * (1 - at(products)).sqrt()) * (out.detach() - eps)
    kl = 0.5 * (log_variance - at(usual).log() + (at(usual) + gap**2) / log_variance.exp() - 1)
    return (out - eps).square().mean() + LAMBDA * kl.mean()


def images(count: int) -> np.ndarray:
    """Digits that neither network was trained on: drawn from the prior that ships, (n, 16, 16)."""
    drawn = DPMSolver(20)(priors.load("digits-32"), count).reshape(count, 1, 32, 32).clamp(-1, 1)
    small = torch.nn.functional.avg_pool2d(drawn, 2)[:, 0]
    return ((small + 1) * 127.5).round().byte().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--noisy", type=float, default=0.0)
    parser.add_argument("--initial", type=Path)
    given = parser.parse_args()
    torch.manual_seed(0)
    data = digits(given.data)
    with torch.device("cpu"):
        unet = adm_keys.empty_unet(LAYOUT, SIZE, lambda width, up: HEADS)
        weights = type(unet).from_config(unet.config).state_dict()  # diffusers' own first weights
    unet.load_state_dict(weights, assign=True)
    if given.initial is not None:
        first = torch.load(given.initial, weights_only=True)
        state = adm_keys.to_diffusers(first, unet, LAYOUT, "legacy")
        unet.load_state_dict({name: value.float() for name, value in state.items()})
    unet.requires_grad_(True).train()
    average = copy.deepcopy(unet)
    betas = torch.linspace(1e-4, 0.02, 1000)
    adam = torch.optim.Adam(unet.parameters(), 1e-3)
    start, step = time.monotonic(), 0
    while (share := (time.monotonic() - start) / (60 * given.minutes)) < 1:
        for group in adam.param_groups:
            group["lr"] = 1e-3 * min(1.0, step / 100 + 0.01) * (1 - share) + 1e-6
        x_0 = data[torch.randint(len(data), (given.batch,))] / 127.5 - 1
        k, eps = torch.randint(1000, (given.batch,)), torch.randn_like(x_0)
        k = torch.where(torch.rand(len(k)) < given.noisy, 500 + k // 2, k)
        value = loss(unet, x_0, betas, k, eps)
        adam.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        adam.step()
        with torch.no_grad():
            decay = min(DECAY, (1 + step) / (10 + step))
            for mean, now in zip(average.parameters(), unet.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        if step % 100 == 0:
            print(
                f"step {step}, {60 * given.minutes * share:.0f} s, loss {value.item():.4f}",
                flush=True,
            )
        step += 1
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "adm_digits.pt"
    torch.save(adm_keys.from_diffusers(average.half(), LAYOUT, "legacy"), file)
    prior = adm.load(
        file,
        num_heads=HEADS,
        attention_order="legacy",
        image_size=SIZE,
        schedule="linear",
        prediction_type="epsilon",
        value_range=(-1.0, 1.0),
        dtype=torch.float32,
    )
    np.save(given.out / "adm_digits.npy", images(24))
    print(f"{file}: {step} steps, {prior.num_parameters:,} parameters")


if __name__ == "__main__":
    main()
