"""How the small priors that ship were trained.

    python recipes/train_prior.py digits-32  --data DIGITS_FOLDER     --out runs/digits-32  --minutes 25
    python recipes/train_prior.py natural-64 --data NATURAL64_FOLDER  --out runs/natural-64 --minutes 90

The folders hold MNIST's idx.gz files and Tiny-ImageNet packed as npz of JPEG bytes; neither ships with this project. The run
saves its state every two minutes and goes on from there when it is started again; `--minutes` is the time left from now, over which
the learning rate falls to zero. The result, `OUT/model.safetensors` with `OUT/card.json`, is the moving average of the weights.

Loss: || F - (x_0 - W_t(x_t)) / c_t ||^2 (deft.priors.unet), log-SNR drawn from a normal mixed with a uniform part.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import io
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from deft.priors import zoo
from deft.priors.unet import UNetPrior
from deft.schedules import VPLinear


@dataclass(frozen=True)
class Recipe:
    """What differs between the priors."""

    event_shape: tuple[int, ...]
    channels: tuple[int, ...]
    blocks: int
    patch: int
    attention: tuple[bool, ...]
    batch: int
    learning_rate: float
    log_snr_mean: float
    log_snr_std: float
    flips: bool
    basis: str
    uniform: float
    fine: int = 0
    gains: int = 0


RECIPES = {
    "digits-32": Recipe((1, 32, 32), (48, 96, 96), 1, 2, (False, False, True), 64, 1e-3, -1.0, 3.0, False, "principal", 0.3),
    "natural-64": Recipe((3, 64, 64), (96, 128, 144), 2, 4, (False, True, True), 32, 5e-4, 0.5, 3.0, True, "low-principal", 0.3, 24, 25),
}


def untrained(name: str) -> UNetPrior:
    """The prior of a recipe before anything was learned."""
    recipe = RECIPES[name]
    return UNetPrior(
        recipe.event_shape,
        VPLinear(),
        channels=recipe.channels,
        blocks=recipe.blocks,
        patch=recipe.patch,
        attention=recipe.attention,
        basis=recipe.basis,
        fine=recipe.fine,
        gains=recipe.gains,
        name=name,
    )


def digits(folder: Path, split: str) -> Tensor:
    """MNIST in [-1, 1], padded to 32x32; train without its last 5,000, which validate."""
    name = "t10k" if split == "test" else "train"
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
        raw = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    raw = {"train": raw[:-5000], "val": raw[-5000:], "test": raw}[split]
    x = torch.from_numpy(raw.copy()).float() / 127.5 - 1
    return torch.nn.functional.pad(x[:, None], (2, 2, 2, 2), value=-1.0)


def natural(folder: Path, split: str) -> Tensor:
    """Tiny-ImageNet as uint8 (n, 3, 64, 64); val 0-499 validates, 500-999 tests."""
    files = sorted(folder.glob("train_*.npz")) if split == "train" else [folder / "val.npz"]
    images = []
    for file in files:
        z = np.load(file)
        j, o = z["jpeg"], z["offsets"]
        images += [np.array(Image.open(io.BytesIO(j[o[i] : o[i + 1]].tobytes())).convert("RGB")) for i in range(len(o) - 1)]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return {"train": x, "val": x[:500], "test": x[500:]}[split]


def as_float(x: Tensor) -> Tensor:
    """uint8 to [-1, 1]; floats pass."""
    return x if x.is_floating_point() else x.float() / 127.5 - 1


def network_state(path: Path) -> dict[str, Tensor]:
    """The weights of F in a shipped prior or in the state of a run."""
    if path.suffix == ".safetensors":
        return zoo.load(path).network.state_dict()
    weights = torch.load(path, weights_only=True)["average"]
    return {key.removeprefix("network."): value for key, value in weights.items() if key.startswith("network.")}


def main() -> None:
    """Train until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument(
        "--network-from", type=Path, help="start from the network of a shipped prior (.safetensors) or of another run's state.pt"
    )
    parser.add_argument(
        "--log-snr", type=float, nargs=3, metavar=("MEAN", "STD", "UNIFORM"), help="another law of the noise level than the recipe's"
    )
    parser.add_argument("--learning-rate", type=float, help="another one than the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if not args.data.is_dir():
        parser.error(f"--data {args.data} is no folder; this recipe needs the data described at the top of {__file__}")
    torch.set_num_threads(args.threads)
    recipe = RECIPES[args.name]
    if args.log_snr:
        recipe = replace(recipe, log_snr_mean=args.log_snr[0], log_snr_std=args.log_snr[1], uniform=args.log_snr[2])
    if args.learning_rate:
        recipe = replace(recipe, learning_rate=args.learning_rate)
    load = digits if args.name.startswith("digits") else natural
    images = load(args.data, "train")
    prior = untrained(args.name)
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "state.pt").exists():
        whole = as_float(images)
        prior.gaussian.fit(torch.cat([whole, whole.flip(-1)]) if recipe.flips else whole)
        del whole
    if args.network_from:
        missing, foreign = prior.network.load_state_dict(network_state(args.network_from), strict=False)
        if foreign or any(not key.startswith("fine.") for key in missing):  # a stage that adds nothing at its start may be new
            parser.error(f"--network-from {args.network_from} is of another architecture: {(missing + foreign)[:3]}")
    average = copy.deepcopy(prior).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(prior.network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    step, spent = 0, 0.0
    state_file = args.out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        prior.load_state_dict(state["prior"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["seconds"]
    print(
        f"{args.name}: {prior.num_parameters / 1e6:.2f} M parameters, {len(images)} images, from step {step}",
        flush=True,
    )

    def save() -> None:
        state = {"prior": prior.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
        torch.save(state | {"step": step, "seconds": spent}, state_file.with_suffix(".tmp"))
        state_file.with_suffix(".tmp").replace(state_file)

    low, high = prior.schedule.log_snr_range
    begin = saved = logged = time.time()
    before, budget = spent, 60 * args.minutes
    running: list[float] = []
    while (elapsed := time.time() - begin) < budget:
        generator = torch.Generator().manual_seed(step)
        index = torch.randint(len(images), (recipe.batch,), generator=generator)
        x_0 = as_float(images[index])
        if recipe.flips:
            x_0 = torch.where(torch.rand(len(x_0), 1, 1, 1, generator=generator) < 0.5, x_0.flip(-1), x_0)
        normal = recipe.log_snr_mean + recipe.log_snr_std * torch.randn(recipe.batch, generator=generator)
        uniform = low + (high - low) * torch.rand(recipe.batch, generator=generator)
        log_snr = torch.where(torch.rand(recipe.batch, generator=generator) < recipe.uniform, uniform, normal).clamp(low, high)
        t = prior.schedule.time(log_snr)
        alpha_t, sigma_t = prior.levels(x_0, t)
        x_t = alpha_t * x_0 + sigma_t * torch.randn(x_0.shape, generator=generator)
        wiener = prior.gaussian.denoise(x_t, alpha_t, sigma_t)
        target = (x_0 - wiener) / prior.gaussian.remainder(alpha_t, sigma_t)
        with torch.autocast("cpu", torch.bfloat16):
            estimate = prior.correction(x_t, wiener, t)
        loss = (estimate.float() - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prior.network.parameters(), 1.0)
        warm = min(step / 300, 1.0)
        rate = recipe.learning_rate * warm * max(1.0 - elapsed / budget, 0.02)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        step += 1
        decay = min(0.9995, (1 + step) / (30 + step))
        with torch.no_grad():
            for a, p in zip(average.network.parameters(), prior.network.parameters()):
                a.lerp_(p, 1 - decay)
        running.append(loss.item())
        now = time.time()
        if now - logged > 20:
            print(
                f"step {step}  loss {np.mean(running):.4f}  {now - begin:.0f} s  {step * recipe.batch / len(images):.2f} epochs",
                flush=True,
            )
            with (args.out / "log.jsonl").open("a") as file:
                file.write(json.dumps({"step": step, "loss": float(np.mean(running)), "seconds": before + now - begin}) + "\n")
            running, logged = [], now
        if now - saved > 120:
            spent, saved = before + now - begin, now
            save()
    spent = before + time.time() - begin
    save()
    print("done", step, f"{spent:.0f} s", flush=True)


if __name__ == "__main__":
    main()
