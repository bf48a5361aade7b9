"""How the small priors that ship were trained.

    python recipes/train_prior.py digits-32  --data DIGITS_FOLDER     --out runs/digits-32
            --minutes 25
    python recipes/train_prior.py natural-64 --data NATURAL64_FOLDER
            --out runs/natural-64 --minutes 90
    python recipes/train_prior.py ct-128     --data CT_FOLDER         --out runs/ct-128
            --core-minutes 60

The folders hold MNIST's idx.gz files, Tiny-ImageNet packed as npz of JPEG bytes, and CT slices
(`ct` below says how); none ships with this project. The run saves its state every two minutes and
goes on from there when it is started again. The learning rate falls to zero over `--minutes`, the
time left from now, or over `--core-minutes` of processor time of the whole run, for a machine that
does other things as well: the same command then goes on as if it had not been stopped. The result,
`average` in `OUT/state.pt`, is the moving average of the weights.

Loss: || F - (x_0 - W_t(x_t)) / c_t ||^2 (deft.priors.unet), log-SNR drawn from a normal mixed with
a uniform part.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import io
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from deft.data.ct import Slices, levels_to_hounsfield
from deft.priors import zoo
from deft.priors.precision import settled
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
    shift: int = 0


RECIPES = {
    "digits-32": Recipe(
        (1, 32, 32),
        (48, 96, 96),
        1,
        2,
        (False, False, True),
        64,
        1e-3,
        -1.0,
        3.0,
        False,
        "principal",
        0.3,
    ),
    "natural-64": Recipe(
        (3, 64, 64),
        (96, 128, 144),
        2,
        4,
        (False, True, True),
        32,
        5e-4,
        0.5,
        3.0,
        True,
        "low-principal",
        0.3,
        24,
        25,
    ),
    "ct-128": Recipe(
        (1, 128, 128),
        (48, 96, 128, 144),
        1,
        4,
        (False, False, True, True),
        16,
        6e-4,
        0.0,
        3.0,
        True,
        "low-principal",
        0.3,
        16,
        25,
        8,
    ),
}

HOUNSFIELD = (-1000.0, 1500.0)
"""What [-1, 1] means of the prior ct-128, in HU: from air to dense bone."""


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
        images += [
            np.array(Image.open(io.BytesIO(j[o[i] : o[i + 1]].tobytes())).convert("RGB"))
            for i in range(len(o) - 1)
        ]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return {"train": x, "val": x[:500], "test": x[500:]}[split]


def ct(folder: Path, split: str) -> Tensor:
    """CT slices of 128x128, [-1, 1] being the window HOUNSFIELD, split by patient.

    `hu_128.npz` holds slices in HU with `source` and `name`: volumes of one patient (ircadb,
    cthead), a patient per folder (ny_sbu), and about one per file (siim_tcia). Of the last, some
    slices are there twice, and some with and without contrast agent; files that say the same age
    count as one patient. Two volumes hold 70 % of all slices, so that at most 16 of a patient are
    taken, evenly over them. `mosmed_128.npz` holds 8-bit slices, one of each patient, with the
    levels of air and soft tissue; they train and validate, and none of them is a test. Slices in
    HU, of which there are few, train three times.
    """
    at = ("train", "val", "test").index(split)
    z = np.load(folder / "hu_128.npz")
    patients = [
        _patient(source, name)
        for source, name in zip(z["source"].tolist(), z["name"].tolist(), strict=True)
    ]
    once = sorted(
        np.unique(z["hu"].reshape(len(z["hu"]), -1), axis=0, return_index=True)[1].tolist()
    )
    found = (
        Slices(z["hu"], HOUNSFIELD, patients=patients)
        .take(once)
        .split((0.65, 0.1, 0.25), seed=0)[at]
    )
    assert found.patients is not None
    found = found.take(evenly(found.patients, 16))
    slices = [found[i] for i in range(len(found))] * (3 if split == "train" else 1)
    if split != "test":
        m = np.load(folder / "mosmed_128.npz")
        air, soft = m["air_level"].astype(np.float32), m["soft_level"].astype(np.float32)
        usual = (soft - air >= 55) & (soft - air <= 105)  # others are calibrated oddly
        hu = levels_to_hounsfield(m["images"][usual], air[usual], soft[usual])
        more = Slices(hu, HOUNSFIELD, patients=m["name"][usual].tolist()).split((0.9, 0.1), seed=0)[
            at
        ]
        slices += [more[i] for i in range(len(more))]
    return torch.stack(slices)


def _patient(source: str, name: str) -> str:
    """Whose a slice is, as far as its name says."""
    who = {"ny_sbu": r"^[^/]+", "siim_tcia": r"AGE_\d+"}.get(source)
    found = re.search(who, name) if who else None
    return f"{source}/{found[0]}" if found else source


def evenly(patients: Sequence[str], most: int) -> list[int]:
    """Which slices to take for at most so many of each patient, evenly over the order that they
    are in.
    """
    index: dict[str, list[int]] = {}
    for i, patient in enumerate(patients):
        index.setdefault(patient, []).append(i)
    chosen = []
    for whose in index.values():
        middles = (np.arange(min(most, len(whose))) + 0.5) * len(whose) / min(most, len(whose))
        chosen += [whose[int(m)] for m in middles]
    return sorted(chosen)


READERS: dict[str, Callable[[Path, str], Tensor]] = {"digits": digits, "natural": natural, "ct": ct}
"""The data of a prior by the first part of its name: (folder, split) -> images."""


def read(name: str, folder: Path, split: str) -> Tensor:
    """The images of a split ("train", "val", "test") for a prior of this name."""
    return READERS[name.split("-")[0]](folder, split)


def moved(x_0: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each image moved by up to `most` places along both axes, its border repeated."""
    if most == 0:
        return x_0
    height, width = x_0.shape[2:]
    padded = torch.nn.functional.pad(x_0, (most,) * 4, mode="replicate")
    down, right = torch.randint(2 * most + 1, (2, len(x_0)), generator=generator).tolist()
    return torch.stack(
        [
            image[:, i : i + height, j : j + width]
            for image, i, j in zip(padded, down, right, strict=True)
        ]
    )


def as_float(x: Tensor) -> Tensor:
    """uint8 to [-1, 1]; floats pass."""
    return x if x.is_floating_point() else x.float() / 127.5 - 1


def network_state(path: Path) -> dict[str, Tensor]:
    """The weights of F in a shipped prior or in the state of a run."""
    if path.suffix == ".safetensors":
        return zoo.load(path).network.state_dict()
    weights = torch.load(path, weights_only=True)["average"]
    return {
        key.removeprefix("network."): value
        for key, value in weights.items()
        if key.startswith("network.")
    }


def main() -> None:
    """Train until the time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=60.0, help="how long from now")
    length.add_argument(
        "--core-minutes",
        type=float,
        help="processor time of the whole run, what was spent before it was stopped included",
    )
    parser.add_argument(
        "--network-from",
        type=Path,
        help="start from the network of a shipped prior (.safetensors) or of another run's "
        "state.pt",
    )
    parser.add_argument(
        "--log-snr",
        type=float,
        nargs=3,
        metavar=("MEAN", "STD", "UNIFORM"),
        help="another law of the noise level than the recipe's",
    )
    parser.add_argument("--learning-rate", type=float, help="another one than the recipe's")
    parser.add_argument(
        "--hold",
        action="store_true",
        help="keep the learning rate: a later run goes on, and brings it down",
    )
    parser.add_argument(
        "--as-they-are",
        action="store_true",
        help="without mirror images and moves: the last stage of a prior of few images",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--precision",
        default="auto",
        choices=["fp32", "bf16", "auto"],
        help="auto measures which is faster here",
    )
    args = parser.parse_args()
    if not args.data.is_dir():
        parser.error(
            f"--data {args.data} is no folder; this recipe needs the data described at the top of "
            f"{__file__}"
        )
    torch.set_num_threads(args.threads)
    recipe = RECIPES[args.name]
    if args.log_snr:
        recipe = replace(
            recipe,
            log_snr_mean=args.log_snr[0],
            log_snr_std=args.log_snr[1],
            uniform=args.log_snr[2],
        )
    if args.learning_rate:
        recipe = replace(recipe, learning_rate=args.learning_rate)
    if args.as_they_are:
        recipe = replace(recipe, flips=False, shift=0)
    images = read(args.name, args.data, "train")
    prior = untrained(args.name)
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "state.pt").exists():
        whole = as_float(images)
        whole = torch.cat([whole, whole.flip(-1)]) if recipe.flips else whole
        if recipe.shift:
            whole = torch.cat([whole, moved(whole, recipe.shift, torch.Generator().manual_seed(0))])
        prior.gaussian.fit(whole)
        del whole
    if args.network_from:
        missing, foreign = prior.network.load_state_dict(
            network_state(args.network_from), strict=False
        )
        if foreign or any(
            not key.startswith("fine.") for key in missing
        ):  # a stage that adds nothing at its start may be new
            parser.error(
                f"--network-from {args.network_from} is of another architecture: "
                f"{(missing + foreign)[:3]}"
            )
    bf16 = settled(prior, args.precision, args.out) == "bf16"
    average = copy.deepcopy(prior).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        prior.network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    step, spent = 0, 0.0
    state_file = args.out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        prior.load_state_dict(state["prior"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["seconds"]
    print(
        f"{args.name}: {prior.num_parameters / 1e6:.2f} M parameters, {len(images)} images, from "
        f"step {step}",
        flush=True,
    )

    def save() -> None:
        state = {
            "prior": prior.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
        }
        torch.save(state | {"step": step, "seconds": spent}, state_file.with_suffix(".tmp"))
        state_file.with_suffix(".tmp").replace(state_file)

    low, high = prior.schedule.log_snr_range
    clock = time.time if args.core_minutes is None else time.process_time
    begin, before, saved, logged = clock(), spent, time.time(), time.time()
    done, budget = (
        (0.0, 60 * args.minutes) if args.core_minutes is None else (before, 60 * args.core_minutes)
    )
    running: list[float] = []
    while (elapsed := done + clock() - begin) < budget:
        generator = torch.Generator().manual_seed(step)
        index = torch.randint(len(images), (recipe.batch,), generator=generator)
        x_0 = as_float(images[index])
        if recipe.flips:
            x_0 = torch.where(
                torch.rand(len(x_0), 1, 1, 1, generator=generator) < 0.5, x_0.flip(-1), x_0
            )
        x_0 = moved(x_0, recipe.shift, generator)
        normal = recipe.log_snr_mean + recipe.log_snr_std * torch.randn(
            recipe.batch, generator=generator
        )
        uniform = low + (high - low) * torch.rand(recipe.batch, generator=generator)
        log_snr = torch.where(
            torch.rand(recipe.batch, generator=generator) < recipe.uniform, uniform, normal
        ).clamp(low, high)
        t = prior.schedule.time(log_snr)
        alpha_t, sigma_t = prior.levels(x_0, t)
        x_t = alpha_t * x_0 + sigma_t * torch.randn(x_0.shape, generator=generator)
        wiener = prior.gaussian.denoise(x_t, alpha_t, sigma_t)
        target = (x_0 - wiener) / prior.gaussian.remainder(alpha_t, sigma_t)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            estimate = prior.correction(x_t, wiener, t)
        loss = (estimate.float() - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prior.network.parameters(), 1.0)
        warm = min(step / 300, 1.0)
        fall = 1.0 if args.hold else max(1.0 - elapsed / budget, 0.02)
        rate = recipe.learning_rate * warm * fall
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        step += 1
        decay = min(0.9995, (1 + step) / (30 + step))
        with torch.no_grad():
            for a, p in zip(average.network.parameters(), prior.network.parameters()):
                a.lerp_(p, 1 - decay)
        running.append(loss.item())
        now, spent = time.time(), before + clock() - begin
        if now - logged > 20:
            print(
                f"step {step}  loss {np.mean(running):.4f}  {spent:.0f} s  "
                f"{step * recipe.batch / len(images):.2f} epochs",
                flush=True,
            )
            with (args.out / "log.jsonl").open("a") as file:
                file.write(
                    json.dumps({"step": step, "loss": float(np.mean(running)), "seconds": spent})
                    + "\n"
                )
            running, logged = [], now
        if now - saved > 120:
            saved = now
            save()
    save()
    print("done", step, f"{spent:.0f} s", flush=True)


if __name__ == "__main__":
    main()
