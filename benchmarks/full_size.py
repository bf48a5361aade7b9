"""What a prior of full size costs here: memory, one evaluation, an h-transform of 4 %, one training
step.

    python benchmarks/full_size.py [--only adm-256] [--out benchmarks/results/full_size.json]

Two configurations with random weights, which do not change what a step costs: the unconditional
network of guided-diffusion for 256 pixels (552 M), as a `.pt` that the `adm` adapter reads, and
Stable Diffusion 1.5's U-Net (860 M) with its AutoencoderKL, as a folder of diffusers, told an empty
context of 77 x 768 zeros. Each runs in a process of its own, whose largest resident memory is kept.
CPU seconds of one thread: other work on the machine does not count. Batch of one signal, fp32.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import deft
from deft.priors import adm_keys
from deft.priors.adm_published import PUBLISHED
from deft.priors.base import Prior
from deft.training.batch import Batch

FRACTION = 0.04
NAMES = ("adm-256", "stable-diffusion-1.5")


def adm_256(folder: Path) -> Prior:
    """The largest published network without classes, from a file in its own form."""
    row = next(row for row in PUBLISHED if "256x256_diffusion_uncond.pt" in row.files)
    empty = adm_keys.empty_unet(row.layout, row.image_size, lambda width, up: width // 64)
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: 0.02 * torch.randn(shape, generator=generator)
        for name, shape in adm_keys.wanted(empty, row.layout).items()
    }
    torch.save(weights, folder / "256x256_diffusion_uncond.pt")
    del weights
    return deft.priors.load(folder / "256x256_diffusion_uncond.pt")


def stable_diffusion(folder: Path) -> Prior:
    """Stable Diffusion 1.5 as its folder is published, without text encoder and safety checker."""
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel

    parts: dict[str, Callable[[], Any]] = {
        "vae": lambda: AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            sample_size=512,
        ),
        "unet": lambda: UNet2DConditionModel(sample_size=64, cross_attention_dim=768),
        "scheduler": lambda: PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True
        ),
    }
    for name, make in parts.items():
        make().save_pretrained(folder / name)
    (folder / "model_index.json").write_text(
        json.dumps(
            {
                "_class_name": "StableDiffusionPipeline",
                "vae": ["diffusers", "AutoencoderKL"],
                "unet": ["diffusers", "UNet2DConditionModel"],
                "scheduler": ["diffusers", "PNDMScheduler"],
            }
        )
    )
    prior = deft.priors.load(folder)
    return prior.given(encoder_hidden_states=torch.zeros(1, 77, 768))


MAKERS: dict[str, Callable[[Path], Prior]] = dict(
    zip(NAMES, (adm_256, stable_diffusion), strict=True)
)


def memory() -> float:
    """The largest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


def measured(name: str) -> dict[str, Any]:
    """The figures of one configuration, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found: dict[str, Any] = {}

    def keep(**values: float) -> None:
        found.update({key: round(value, 4) for key, value in values.items()})
        found["peak_gib"] = {**found.get("peak_gib", {}), list(values)[-1]: round(memory(), 2)}
        print(json.dumps(found), flush=True)  # so that what was found is kept, whatever follows

    with tempfile.TemporaryDirectory() as folder:
        prior = MAKERS[name](Path(folder))
    problem = deft.problems.Inpainting("box", sigma_y=0.05)
    codec, noise = prior.codec, deft.Noise([0], dtype=torch.float32)
    found["event_shape"], found["signal_shape"] = list(prior.event_shape), list(prior.signal_shape)
    keep(prior_parameters=prior.num_parameters)
    x = noise.normal(0, prior.signal_shape).clamp(-1, 1)
    t = prior.schedule.snap(torch.full((1,), 0.5, dtype=torch.float64))
    x_t = prior.noise(noise, 1)
    with torch.no_grad():
        keep(evaluation_seconds=seconds(lambda: prior.denoise(x_t, t)))
    h = deft.LearnedHTransform.for_prior(prior, fraction=FRACTION)
    keep(h_parameters=h.num_parameters)
    found["h_fraction"] = round(h.num_parameters / prior.num_parameters, 4)
    objective = deft.DenoisingScoreMatching(problem)
    optimiser = torch.optim.AdamW(h.parameters(), lr=1e-4, fused=True)
    batch = Batch(prior.encode(x), noise, seen=None if codec is None else x)

    def step() -> None:
        objective.loss(h, prior, batch).value.mean().backward()
        nn.utils.clip_grad_norm_(h.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    keep(training_step_seconds=seconds(step))
    if codec is not None:
        keep(codec_parameters=sum(p.numel() for p in codec.parameters()))
        with torch.no_grad():
            keep(decode_seconds=seconds(lambda: codec.decode(x_t)))
            keep(encode_seconds=seconds(lambda: codec.encode(x)))
        behind = problem.draw(x, noise).behind(codec)
        guide = behind.likelihood.guidance
        keep(guidance_seconds=seconds(lambda: guide(x_t, torch.full((1,), 0.5), behind.y)))
    posterior = deft.Posterior(prior, h.eval(), problem.draw(x, noise))
    with torch.no_grad():
        keep(sampling_step_seconds=seconds(lambda: posterior.denoise(x_t, t)))
    return found


def main() -> None:
    """Measure each in a process of its own, and keep what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--here", choices=NAMES, help="measure one in this process, and print it")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/full_size.json"))
    args = parser.parse_args()
    if args.here:
        measured(args.here)
        return
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    results |= {"torch": torch.__version__, "machine": platform.machine(), "threads": 1}
    for name in [args.only] if args.only else NAMES:
        command = [sys.executable, __file__, "--here", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                results[name] = json.loads(line)
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps(results, indent=1) + "\n")
                print(name, line.strip(), flush=True)
        if process.returncode:
            raise SystemExit(process.returncode)


if __name__ == "__main__":
    main()
