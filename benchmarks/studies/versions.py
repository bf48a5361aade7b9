"""Two versions of the library on the same inputs and draws: what shipped files make of them.

    python benchmarks/studies/versions.py --data DATA_FOLDER --before OTHER_CHECKOUT/src \\
        --out benchmarks/results/versions.json

Each h-transform below, with its prior and problem, draws posterior samples of 32 validation images.
Both versions run in processes of their own. They draw by the same generator, torch's Mersenne
Twister with one seed per sample and step, whatever their own is, so that observations and samples
differ by what the code computes alone. The table holds the PSNR of the mean and the misfit of both.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

FILES = {
    "h-digits-32-inpainting": "digits",
    "h-digits-32-super-resolution": "digits",
    "h-digits-32-hdr": "digits",
    "h-natural-64-inpainting": "natural64",
    "h-ct-128-views-60": "ct",
}
IMAGES, SAMPLES, STEPS = 32, 2, 10


def validation_images(kind: str, data: Path) -> torch.Tensor:
    """The last images of what the priors were trained on, in [-1, 1]."""
    if kind == "digits":
        with gzip.open(data / "digits" / "t10k-images-idx3-ubyte.gz") as file:
            raw = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 1, 28, 28)[-IMAGES:]
        x = torch.nn.functional.pad(torch.tensor(raw).float(), (2, 2, 2, 2))
        return x / 127.5 - 1
    if kind == "natural64":
        from PIL import Image

        with np.load(data / "natural64" / "train_3.npz") as held:
            packed, ends = held["jpeg"].tobytes(), held["offsets"]
        pictures = [
            np.asarray(Image.open(io.BytesIO(packed[ends[i] : ends[i + 1]])).convert("RGB"))
            for i in range(len(ends) - 1 - IMAGES, len(ends) - 1)
        ]
        return torch.tensor(np.stack(pictures)).float().movedim(-1, 1) / 127.5 - 1
    with np.load(data / "ct" / "hu_128.npz") as held:
        hu = torch.tensor(held["hu"][-IMAGES:]).float()
    return (((hu + 1000) / 1250) - 1).clamp(-1, 1)[:, None]


def worker(images: Path, out: Path) -> None:
    """Statistics of the version that is imported here."""
    import deft
    from deft import noise

    def draw(self, draw, step, shape):  # what version 0.1 drew
        kind = torch.rand if "uniform" in getattr(draw, "__name__", "rand") else torch.randn
        kind = torch.rand if draw is torch.rand else kind
        rows = [kind(tuple(shape), generator=g, dtype=self.dtype) for g in self.generators(step)]
        return (torch.stack(rows) if rows else torch.empty((0, *shape))).to(self.device)

    noise.Noise._draw = draw
    found = {}
    with np.load(images) as held:
        for name, kind in FILES.items():
            shipped = deft.load(name)
            x_0 = torch.tensor(held[kind])
            observation = shipped.problem.draw(x_0, deft.Noise(range(len(x_0))))
            posterior = deft.Posterior(shipped.prior, shipped.h, observation)
            x = deft.DPMSolver(STEPS)(posterior, SAMPLES, seed=0, batch_size=16)
            error = (x.mean(1) - x_0).square().flatten(1).mean(1)
            each = observation.repeat(SAMPLES)
            misfit = each.likelihood.misfit(x.flatten(0, 1), each.y).square().mean().sqrt()
            found[name] = {
                "psnr_of_mean": float((10 * torch.log10(4 / error)).mean()),
                "misfit": float(misfit),
                "std": float(x.std(1).mean()),
            }
            print(name, found[name], file=sys.stderr, flush=True)
    out.write_text(json.dumps(found))


def main() -> None:
    """Run both versions, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--before", type=Path, help="the folder src of the other version")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker, given.out)
        return
    missing = [kind for kind in set(FILES.values()) if not (given.data / kind).is_dir()]
    if missing:
        parser.error(f"--data: {given.data} has no folder {', '.join(sorted(missing))}")
    if given.before is None:
        parser.error("--before: give the folder src of the version to compare with")
    with tempfile.TemporaryDirectory() as place:
        images = Path(place) / "images.npz"
        np.savez(
            images,
            **{k: validation_images(k, given.data).numpy() for k in set(FILES.values())},
        )
        sides = {}
        for side, source in (("before", given.before), ("now", Path(__file__).parents[2] / "src")):
            out = Path(place) / f"{side}.json"
            command = [sys.executable, __file__, "--data", str(given.data)]
            subprocess.run(
                [*command, "--worker", str(images), "--out", str(out)],
                check=True,
                env={**os.environ, "PYTHONPATH": str(source.resolve())},
            )
            sides[side] = json.loads(out.read_text())
    rows = {}
    for name in FILES:
        before, now = sides["before"][name], sides["now"][name]
        rows[name] = {
            "before": before,
            "now": now,
            "psnr_difference_db": now["psnr_of_mean"] - before["psnr_of_mean"],
            "misfit_ratio": now["misfit"] / before["misfit"],
        }
        assert all(math.isfinite(value) for value in now.values())
    settings = {"images": IMAGES, "samples": SAMPLES, "sampler": f"DPMSolver({STEPS})"}
    given.out.write_text(json.dumps({"settings": settings, "files": rows}, indent=1) + "\n")
    for name, row in rows.items():
        print(
            f"{name}: PSNR {row['before']['psnr_of_mean']:.3f} dB before, "
            f"{row['psnr_difference_db']:+.4f} now; misfit {row['before']['misfit']:.4f}, "
            f"times {row['misfit_ratio']:.5f}"
        )


if __name__ == "__main__":
    main()
