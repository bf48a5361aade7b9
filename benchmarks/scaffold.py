"""Methods for motif scaffolds on the small prior: what is drawn, kept by part, and measured.

    python benchmarks/scaffold.py benchmarks/protein.yaml --data ca_backbones.npz --motifs FOLDER \\
        --h "DEFT-9 %=h.safetensors" --amortised amortised=whole.safetensors \\
        --out runs/scaffold --keep benchmarks/results/protein

Four sets: chains of test clusters with a motif in one piece, the contiguous problems of the
benchmark up to 64 residues, the longer ones, and problems of several segments. Every method takes
the same steps of the same sampler, with the same layouts and the same noise. A part (problem,
method, seed) is written when it is done, and another call with the same --out goes on, so that an h
can be added later; with --share 1/2 and --share 2/2 two calls at once share the drawing, and a
third one without it measures. --amortised is what recipes/train_scaffold.py --from-scratch writes:
it asks no prior. The two numbers of the judge are computed for the unconditional designs, for all
held-out chains, and for designs that meet all other conditions of a success.

Prints the tables, and writes KEEP/scaffold.json: the measures of every design, no coordinates.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import scaffold_setting as setting
import torch
import yaml
from scaffold_results import Part, results
from scaffold_tables import tables
from torch import Tensor

from deft.data.proteins.observed import observed
from deft.htransforms.base import HTransform, NoConditioning
from deft.metrics import protein
from deft.priors import zoo
from deft.priors.backbone import BackbonePrior
from deft.samplers.cooled import Cooled
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.protein import Measured, Thresholds, evaluate_backbones, joint_success
from deft.training import checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
import backbone_data

SETS = ("held-out", "benchmark", "longer", "several")
DEFAULT = "DEFT-9 %"


@final
@dataclass(frozen=True)
class Bench:
    """What is read once."""

    config: dict[str, Any]
    prior: BackbonePrior
    learned: dict[str, HTransform]
    chains: dict[str, backbone_data.Chains]
    motifs: Path
    out: Path
    only: tuple[str, ...] = SETS
    amortised: dict[str, setting.Conditional] = field(default_factory=dict)
    share: tuple[int, int] = (1, 1)

    @property
    def sampler(self) -> Cooled:
        return Cooled(**self.config["sampler"])

    def problems(self, which: str) -> list[setting.Problem]:
        """The problems of a set."""
        if which == "held-out":
            said = self.config["held_out"]
            found = setting.some(self.chains["test"], said["chains"], tuple(said["lengths"]))
            return [setting.held_out(found, said)]
        said = self.config[which]
        files = {file.stem: file for file in self.motifs.rglob("genie2_*/*.pdb")}
        return [
            setting.of_file(
                files[name], said["designs"], tuple(said["lengths"]), which == "several"
            )
            for name in said["problems"]
        ]

    def natives(self) -> list[Tensor]:
        """Chains of validation clusters, of the lengths of the held-out ones."""
        lengths = tuple(self.config["held_out"]["lengths"])
        found = setting.some(self.chains["val"], self.config["natives"], lengths)
        return [torch.from_numpy(xyz) for _, xyz in found]

    def training(self) -> list[Tensor]:
        """The chains that designs are compared with."""
        some = self.chains["train"]
        return [
            torch.from_numpy(x)
            for x, w in zip(some.coordinates, some.weights, strict=True)
            if backbone_data.LENGTHS[0] <= len(x) <= backbone_data.LENGTHS[1] and w == 1.0
        ]

    def tuned(self) -> dict[str, Any]:
        """Of DPS and of reconstruction guidance the weight with the most joint successes on
        validation chains (without the judge), of equal ones that with the best junctions. Kept; a
        weight that was added to the setting is tried, too.
        """
        path, said = self.out / "tuning.json", self.config["tuning"]
        found = json.loads(path.read_text())["candidates"] if path.exists() else []
        known = {(one["method"], one["weight"]) for one in found}
        options = {
            (name, weight): h
            for name, of in setting.candidates(self.prior, said, self.learned).items()
            for weight, h in of.items()
            if (name, weight) not in known
        }
        if not options:
            return dict(json.loads(path.read_text()))
        lengths = tuple(self.config["held_out"]["lengths"])
        chains = setting.some(self.chains["val"], said["chains"], lengths)
        problem = setting.held_out(chains, {**self.config["held_out"], "seed": said["seed"]})

        def tried(h: HTransform) -> Measured | None:
            draw = setting.guided(self.sampler, h)
            x, mask, _ = setting.designs(self.prior, draw, problem, 0, self.config["sigma_y"])
            if not bool(x.isfinite().all()):  # steps that were too large
                return None
            return evaluate_backbones("", x, mask, motif=problem.placed, pairs=False)

        free = tried(NoConditioning())
        assert free is not None
        limits = Thresholds.of(free)
        for (name, weight), h in options.items():
            found.append({"method": name, "weight": weight, **summary(tried(h), limits)})
            best = {
                name: max(
                    (one for one in found if one["method"] == name),
                    key=lambda one: (
                        one["joint"],
                        -math.inf if one["junction"] is None else -one["junction"],
                    ),
                )["weight"]
                for name in dict.fromkeys(one["method"] for one in found)
            }
            write(path, {"chosen": best, "candidates": found})
            print("tuning", found[-1], flush=True)
        return dict(json.loads(path.read_text()))

    def methods(self, sampler: Cooled) -> dict[str, setting.Draw]:
        """The methods that there are weights for."""
        options = setting.candidates(self.prior, self.config["tuning"], self.learned)
        chosen = self.tuned()["chosen"]
        weighted = {name: of[chosen[name]] for name, of in options.items()}
        found = setting.methods(sampler, {**weighted, **self.learned})
        return {**found, **{name: by(sampler) for name, by in self.amortised.items()}}

    def plan(self) -> Iterator[tuple[str, setting.Problem, str, int]]:
        """The parts of the sets that are asked for: set, problem, method, seed."""
        asked = (part for part in self.all_parts() if part[0] in self.only)
        which, of = self.share
        return (part for k, part in enumerate(asked) if k % of == which - 1)

    def all_parts(self) -> Iterator[tuple[str, setting.Problem, str, int]]:
        """All parts, those that matter most first."""
        seeds = self.config["seeds"]
        names = list(self.methods(self.sampler))
        for which in SETS:
            allowed = self.config.get(which, {}).get("methods", names)
            for problem in self.problems(which):
                yield from (
                    (which, self.fewer(which, problem, name), name, 0)
                    for name in names
                    if name in allowed
                )
            if which == "benchmark":
                held = self.problems("held-out")[0]
                for name in names:
                    yield from (("held-out", held, name, k) for k in range(1, seeds.get(name, 1)))
                tds = self.config["tds"]
                for problem in self.problems(which):
                    if problem.name in tds["problems"]:
                        few = setting.Problem(problem.name, problem.layouts[: tds["systems"]])
                        yield "benchmark", few, "TDS", 0

    def fewer(self, which: str, problem: setting.Problem, method: str) -> setting.Problem:
        """The problem with as many designs as the setting asks of the method."""
        count = self.config.get(which, {}).get("fewer", {}).get(method)
        return problem if count is None else setting.Problem(problem.name, problem.layouts[:count])

    def draw(self) -> None:
        """Draw every part that is not there yet."""
        methods, said = self.methods(self.sampler), self.config["tds"]
        methods["TDS"] = setting.twisted(self.prior, self.sampler.steps, said["particles"])
        for which, problem, name, seed in self.plan():
            path = self.file(which, problem, name, seed)
            if path.exists():
                continue
            began = time.time()
            x, mask, seconds = setting.designs(
                self.prior, methods[name], problem, seed, self.config["sigma_y"]
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as file:
                np.savez_compressed(file, x=x.numpy(), mask=mask.numpy(), seconds=seconds)
            wall = time.time() - began
            print(f"{which} {problem.name} {name} {seed}: {seconds:.2f} s, {wall:.0f}", flush=True)

    def file(self, which: str, problem: setting.Problem, name: str, seed: int) -> Path:
        """Where a part is kept."""
        label = name.replace(" ", "").replace("%", "")
        return self.out / which / problem.name / f"{label}-{seed}.npz"

    def parts(self) -> list[Part]:
        """What is there."""
        found = []
        for which, problem, name, seed in self.plan():
            path = self.file(which, problem, name, seed)
            if path.exists():
                with np.load(path, allow_pickle=False) as kept:
                    x, mask = torch.from_numpy(kept["x"]), torch.from_numpy(kept["mask"])
                    seconds = float(kept["seconds"])
                judged = path.with_suffix(".json")
                found.append(Part(which, problem, name, seed, x, mask, judged, seconds))
        return found

    def speed(self) -> dict[str, Any]:
        """What each method costs; kept, and measured again where a method was added."""
        path, said = self.out / "speed.json", self.config["speed"]
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        methods = self.methods(Cooled(**{**self.config["sampler"], "steps": said["steps"]}))
        if not set(found) >= set(methods):
            layouts = setting.of_file(
                next(self.motifs.rglob("5tpn.pdb")), said["designs"], (said["length"],) * 2
            ).layouts
            told, observation = observed(self.prior, layouts, self.config["sigma_y"])
            found = setting.speed(methods, told, observation, said["rounds"], said["steps"])
            write(path, found)
        return found


def summary(measured: Measured | None, limits: Thresholds) -> dict[str, float | None]:
    """What designs are chosen by; none of them is a success where one is not finite."""
    if measured is None:
        return {"joint": 0.0, "junction": None}
    return {
        "joint": float(joint_success(measured, limits).double().mean()),
        "junction": float(measured.junctions_off.nanmean()),
        "motif_rmsd": float(measured.values["motif_rmsd"].nanmedian()),
        "bonds": float(measured.values["bonds"].mean()),
        "clashes": float(measured.values["clashes"].mean()),
    }


def write(path: Path, value: object, indent: int | None = 1) -> None:
    """JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        file.write((json.dumps(value, indent=indent) + "\n").encode())


def opened(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, Bench]:
    """The arguments that are shared, and what they name."""
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="ca_backbones.npz")
    parser.add_argument("--motifs", type=Path, required=True, help="folder of motif files")
    parser.add_argument("--prior", help="a file, in place of the one that the setting names")
    parser.add_argument("--h", action="append", default=[], help="NAME=FILE, once for each")
    parser.add_argument("--amortised", action="append", default=[], help="NAME=FILE, once for each")
    parser.add_argument(
        "--share", default="1/1", help="K/N: the K-th of N calls that share the work"
    )
    parser.add_argument("--left-out", type=Path, help="clusters that are left out, if known")
    parser.add_argument("--only", nargs="*", choices=SETS, default=SETS, help="sets, of four")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = yaml.safe_load(args.config.read_text())
    prior = zoo.load(args.prior or config["prior"])
    assert isinstance(prior, BackbonePrior)
    learned = {}
    for name, _, file in (text.partition("=") for text in args.h):
        ended = "state" not in Path(file).name
        h = checkpoint.load(file, prior)[0] if ended else checkpoint.load_average(file, prior)
        learned[name] = h.eval().requires_grad_(False)
    whole = {
        name: setting.amortised(Path(file), prior)
        for name, _, file in (text.partition("=") for text in args.amortised)
    }
    share = tuple(int(number) for number in args.share.split("/"))
    if len(share) != 2 or not 1 <= share[0] <= share[1]:
        parser.error(f"--share {args.share} is not K/N with 1 <= K <= N, such as 1/2")
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.left_out or args.out / "left_out.json"
    chains = backbone_data.split(backbone_data.read(args.data), args.motifs, kept)
    only = tuple(args.only)
    return args, Bench(config, prior, learned, chains, args.motifs, args.out, only, whole, share)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, help="folder of the results")
    parser.add_argument("--no-judge", action="store_true", help="without the learned judge")
    args, bench = opened(parser)
    bench.draw()
    if bench.share != (1, 1):
        return
    found = results(
        bench.parts(),
        bench.natives(),
        protein.stacked(bench.training()),
        members=None if args.no_judge else bench.config["judge"],
        most=bench.config["novelty"],
        cache=args.out / "natives.json",
    )
    found |= {
        "commit": provenance.commit(),
        "command": provenance.command(),
        "versions": provenance.versions(),
        "setting": bench.config,
        "prior": bench.prior.identity(),
        "h": {
            name: h.num_parameters / bench.prior.num_parameters for name, h in bench.learned.items()
        },
        "tuning": bench.tuned(),
        "speed": bench.speed(),
    }
    if args.keep:
        write(args.keep / "scaffold.json", found, indent=None)
    print(tables(found))


if __name__ == "__main__":
    main()
