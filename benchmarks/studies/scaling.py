"""What sampling costs: in images, in steps, in memory, and before the first evaluation.

    python benchmarks/studies/scaling.py --images FOLDER [--h h-digits-32-box] [--repeats 5] \\
        [--out benchmarks/results/scaling]

FOLDER holds a few images for `deft sample`. One thread. Processor seconds, since other work on the
machine does not count in them; repeats are interleaved; medians and ranges.

- `images`: `DPMSolver` with a posterior, all images in one batch, and in batches of 8.
- `steps`: the same for 8 images.
- `memory`: the largest resident memory of a process that samples, against one that evaluates the
  prior alone at the same batch, each in a process of its own that has everything loaded and has
  sampled one image before; the increase above that is compared, too. The allocator of C gives what
  is freed back at once (MALLOC_MMAP_THRESHOLD_), so that what is measured is what is held.
- `start`: processor seconds of `deft sample` until the prior is evaluated first, against those of
  Python until torch is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START = """
import sys, time
begin = time.process_time
class Reached(BaseException): pass
def reached(*_):
    raise Reached
def patched():
    from deft.priors.unet import UNetPrior
    UNetPrior.denoise = reached
import builtins
from deft import cli
real = cli.import_module
def imported(name):
    module = real(name)
    patched()
    return module
cli.import_module = imported
try:
    cli.main(sys.argv[1:])
except Reached:
    print(time.process_time())
"""
TORCH = "import time, torch; print(time.process_time())"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def loaded(place: str) -> Any:
    """What is sampled, frozen, and measurements of noise."""
    import torch

    import deft
    from deft.noise import Noise

    torch.set_num_threads(1)
    found = deft.load(place)
    found.prior.frozen()

    def posterior(n: int) -> Any:
        noise = Noise(range(n))
        x_0 = 0.5 * noise.normal(0, found.prior.event_shape).clamp(-1, 1)
        return deft.Posterior(found.prior, found.h, found.problem.draw(x_0, noise))

    return found, posterior


def costs(place: str, repeats: int) -> dict[str, Any]:
    """Processor seconds by number of images and of steps."""
    from deft.samplers.dpm_solver import DPMSolver

    _, posterior = loaded(place)
    arms: dict[str, tuple[int, int, int]] = {
        **{f"images {n}": (n, 5, n) for n in (1, 2, 4, 8, 16, 32, 64)},
        **{f"images {n} in batches of 8": (n, 5, 8) for n in (8, 16, 32, 64)},
        **{f"steps {s}": (8, s, 8) for s in (5, 10, 20, 40)},
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    ready = {n: posterior(n) for n in {n for n, _, _ in arms.values()}}
    DPMSolver(2)(ready[8], 1)
    for _ in range(repeats):
        for name, (n, steps, batch) in arms.items():
            begin = time.process_time()
            DPMSolver(steps)(ready[n], 1, batch_size=batch)
            seconds[name].append(time.process_time() - begin)
    return {name: spread(values) for name, values in seconds.items()}


def resident(what: str, place: str, batch: int) -> None:
    """Print the largest resident memory in MiB, before and after; this is what a process of its own
    runs.
    """
    import torch

    from deft.samplers.dpm_solver import DPMSolver

    found, posterior = loaded(place)
    DPMSolver(2)(posterior(1), 1)
    given = posterior(batch)
    x_t, t = torch.zeros(batch, *found.prior.event_shape), torch.full((1,), 0.5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if what == "sample":
        DPMSolver(4)(given, 1)
    else:
        with torch.no_grad():
            for _ in range(4):
                found.prior.denoise(x_t, t)
    print(json.dumps([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def memory(place: str, batch: int, repeats: int) -> dict[str, Any]:
    """Peak memory of sampling against that of the prior's own forward."""
    found: dict[str, list[tuple[float, float]]] = {"forward": [], "sample": []}
    for _ in range(repeats):
        for what in found:
            command = [sys.executable, __file__, "--resident", what, "--h", place]
            done = subprocess.run(
                [*command, "--batch", str(batch)],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
            )
            before, after = json.loads(done.stdout)
            found[what].append((before, after))
    peak = {what: [after for _, after in values] for what, values in found.items()}
    more = {what: [after - before for before, after in v] for what, v in found.items()}
    return {
        "batch": batch,
        "peak_mib": {what: spread(values) for what, values in peak.items()},
        "increase_mib": {what: spread(values) for what, values in more.items()},
        "ratio_of_peaks": spread([b / a for a, b in zip(peak["forward"], peak["sample"])]),
        "ratio_of_increases": spread([b / a for a, b in zip(more["forward"], more["sample"])]),
    }


def start(place: str, images: Path, repeats: int) -> dict[str, Any]:
    """Until the first evaluation, against Python with torch imported."""
    seconds: dict[str, list[float]] = {"torch": [], "deft sample": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as out:
            for what, code, rest in (
                ("torch", TORCH, list[str]()),
                (
                    "deft sample",
                    START,
                    f"sample --h {place} --images {images} --out {out}/s --limit 4 "
                    "--samples 2".split(),
                ),
            ):
                command = [sys.executable, "-c", code, *rest]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                seconds[what].append(float(done.stdout.split()[-1]))
    ratios = [b / a for a, b in zip(seconds["torch"], seconds["deft sample"])]
    return {**{what: spread(values) for what, values in seconds.items()}, "ratio": spread(ratios)}


def figures(found: dict[str, Any], out: Path) -> None:
    """Seconds by images and by steps."""
    from deft.reports.chart import Series, as_file, line_chart

    def series(label: str, prefix: str, suffix: str = "") -> Series:
        points = {
            int(name.removeprefix(prefix).removesuffix(suffix)): value["median"]
            for name, value in found.items()
            if name.startswith(prefix)
            and name.endswith(suffix)
            and ("batches" in name) == bool(suffix)
        }
        return Series(label, list(points), list(points.values()))

    whole = series("one batch", "images ")
    parts = series("batches of 8", "images ", " in batches of 8")
    each = Series("one batch", whole.x, [y / x for x, y in zip(whole.x, whole.y)])
    charts = {
        "images": line_chart([whole, parts], "images", "processor seconds"),
        "per-image": line_chart([each], "batch size", "processor seconds per image", log_x=True),
        "steps": line_chart([series("8 images", "steps ")], "steps", "processor seconds"),
    }
    for name, chart in charts.items():
        (out / f"{name}.svg").write_text(as_file(chart))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path)
    parser.add_argument("--h", default="h-digits-32-box")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--parts", nargs="*", default=["cost", "memory", "start"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scaling"))
    parser.add_argument("--resident", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.resident:
        resident(args.resident, args.h, args.batch)
        return
    if "start" in args.parts and (args.images is None or not args.images.is_dir()):
        parser.error("--images is a folder of images for deft sample")
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "scaling.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    for part in args.parts:
        if part == "cost":
            found["cost"] = costs(args.h, args.repeats)
            figures(found["cost"], args.out)
        elif part == "memory":
            found["memory"] = memory(args.h, args.batch, min(args.repeats, 3))
        else:
            found["start"] = start(args.h, args.images, args.repeats)
        print(json.dumps(found[part], indent=1))
        kept.write_text(
            json.dumps({"h": args.h, "repeats": args.repeats, **found}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
