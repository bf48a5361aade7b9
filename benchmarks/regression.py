"""Reconstruction by regression: the reference that is trained for one geometry, FBP with the
prior's own U-Net behind it.

    python benchmarks/regression.py benchmarks/quality/ct.yaml --data CT_FOLDER --out \\
        runs/regression-ct [--only views-60]

    loss: || x_0 - lift(y) - F(lift(y)) ||^2

on the prior's own training images, flipped and moved as they were for the prior, each with fresh
noise. Leaves OUT/PROBLEM.safetensors and .json; a run that was stopped goes on from its last 200
steps.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from classical import Regression
from safetensors.torch import save_file
from setting import Setting
from torch import Tensor
from train_prior import RECIPES, moved

from deft.metrics.image import psnr
from deft.noise import Noise, mix
from deft.priors.precision import settled


def trained(
    setting: Setting, name: str, images: Tensor, held_out: Tensor, out: Path
) -> tuple[Regression, dict[str, object]]:
    """A network for one problem, with its card."""
    plan, problem, recipe = (
        setting.config["regression"],
        setting.problem(name),
        RECIPES.get(setting.config["prior"]),
    )
    bf16 = settled(setting.prior, "auto", out) == "bf16"
    torch.manual_seed(0)
    network = Regression(setting.prior)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=plan["learning_rate"], betas=(0.9, 0.99), weight_decay=1e-4
    )
    state_file, step, spent = out / f"{name}.pt", 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["seconds"]
    seen = problem.draw(held_out, Noise(range(len(held_out)))).lifted
    begin = time.process_time()
    while step < plan["steps"]:
        generator = torch.Generator().manual_seed(step)
        x_0 = images[torch.randint(len(images), (plan["batch_size"],), generator=generator)]
        x_0 = torch.where(
            torch.rand(len(x_0), 1, 1, 1, generator=generator) < 0.5, x_0.flip(-1), x_0
        )
        x_0 = moved(x_0, recipe.shift if recipe else 0, generator)
        lifted = problem.draw(x_0, Noise([mix(12, step, i) for i in range(len(x_0))])).lifted
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = (network(lifted) - x_0).square().mean()
        for group in optimiser.param_groups:
            group["lr"] = plan["learning_rate"] * min(step / 100, 1.0) * (1 - step / plan["steps"])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 200 == 0 or step == plan["steps"]:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                score = float(psnr(network(seen), held_out, 2.0).mean())
            seconds = spent + time.process_time() - begin
            print(
                f"{name} step {step}  loss {loss.item():.5f}  held out {score:.2f} dB  "
                f"{seconds:.0f} s",
                flush=True,
            )
            state = {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "seconds": seconds,
            }
            torch.save(state, state_file.with_suffix(".tmp"))
            state_file.with_suffix(".tmp").replace(state_file)
    parameters = sum(p.numel() for p in network.parameters())
    return network, {
        **plan,
        "problem": problem.card(),
        "parameters": parameters,
        "seconds": spent + time.process_time() - begin,
    }


def main() -> None:
    """Train for the problems of a YAML file, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="some of the problems")
    args, setting = Setting.of(parser)
    images, held_out = setting.images("train"), setting.images("val", 32)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only or setting.config["problems"]:
        if (args.out / f"{name}.safetensors").exists():
            continue
        network, card = trained(setting, name, images, held_out, args.out)
        (args.out / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
        save_file(network.state_dict(), args.out / f"{name}.safetensors")


if __name__ == "__main__":
    main()
