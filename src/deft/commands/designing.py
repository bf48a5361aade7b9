"""What `deft scaffold` draws, keeps and says.

A design depends on its number, the seed and its problem alone (deft.pipeline.scaffolds). It is kept
as NAME_NUMBER.pdb (or .cif) with a line in `done.jsonl` that holds its measures; the numbers of the
judge are added there when all designs are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from deft import signals
from deft.commands.done import Done
from deft.data.proteins import Design, Layout, MotifProblem, observed, read_structure, write_design
from deft.data.proteins.structure import trace
from deft.errors import SamplesNotFinite
from deft.metrics.protein.judge import ProteinJudge
from deft.noise import Noise
from deft.pipeline.scaffolds import (
    chains_at_all,
    drawn,
    layout_of,
    measured,
    noise_seed,
    with_backbone,
)
from deft.priors.backbone import BackbonePrior
from deft.steps import State
from deft.storage.fingerprint import fingerprint, of_file
from deft.studies.method import Method, describe
from deft.studies.words import number, some

Format = Literal["pdb", "cif"]
_SMALLER = {"DPS": " or a smaller --zeta"} | dict.fromkeys(
    ("DEFT", "Guidance"), " or a smaller --weight"
)
_FEWEST_JUDGED = 22  # residues, of which the judge needs so many


@final
@dataclass(frozen=True)
class Kept:
    """A finished design: its name, its layout, its C-alpha trace and its measures."""

    name: str
    layout: Layout
    xyz: np.ndarray[Any, np.dtype[np.float64]]
    measures: Mapping[str, float]

    @property
    def design(self) -> Design:
        """As it is written: with N, C and O rebuilt from the trace."""
        return with_backbone(self.layout, self.xyz)


@final
@dataclass(frozen=True)
class Designing:
    """The first `designs` designs of a problem, in a folder that goes on from what is done.

    `sigma_y` is how far the motif may be from its place, in angstrom; `h` the file that the method
    came from, where it came from one.
    """

    out: Path
    prior: BackbonePrior
    problem: MotifProblem
    method: Method
    designs: int
    seed: int
    sigma_y: float
    batch_size: int
    format: Format = "pdb"
    h: Path | None = None

    def layout(self, i: int) -> Layout:
        """That of design i."""
        return layout_of(self.problem, self.seed, i)

    def name(self, i: int) -> str:
        """What design i is called."""
        return f"{self.problem.name}_{i}"

    def file(self, i: int) -> Path:
        """Where design i is kept."""
        return self.out / f"{self.name(i)}.{self.format}"

    def check(self) -> None:
        """Raise where the method does not apply; the prior is not evaluated."""
        self.method.check(*observed(self.prior, [self.layout(0)], self.sigma_y))

    def run(self) -> None:
        """Draw what is not done. Raises `SamplesNotFinite` where designs are not finite: at once
        where all are, else when the others are done.
        """
        done = Done(self.out, f".{self.format}")
        origins = [self._origin(i) for i in range(self.designs)]
        left = self._left(done, origins)
        broken: list[int] = []
        size = max(1, self.batch_size // self.method.sampler.signals(1))
        sampler = getattr(self.method.sampler, "smc", self.method.sampler)
        each = getattr(sampler, "steps", 1)
        with tqdm(total=len(left), unit="design", desc="designing", dynamic_ncols=True) as bar:
            try:
                for start in range(0, len(left), size):
                    chunk = left[start : start + size]
                    broken += self._draw(chunk, done, origins, bar, each)
                    bar.update(start + len(chunk) - bar.n)
                    if len(broken) == start + len(chunk):
                        break
            except KeyboardInterrupt as error:
                by = signals.number_of(error)
                kept = sum(self.file(i).is_file() for i in range(self.designs))
                raise signals.Stopped(
                    f"stopped{signals.by(by)}; {kept} of {number(self.designs, 'design')} are in "
                    f"{self.out}: the same command goes on from there.",
                    by,
                ) from error
        if broken:
            smaller = _SMALLER.get(self.method.label, "")
            others = f"; the other designs in {self.out} are kept" if self.finished() else ""
            raise SamplesNotFinite(
                f"designs of {self.problem.name} that are no chains",
                given="coordinates that are not finite, or too large for a file, of "
                f"{some([self.name(i) for i in broken])}",
                expected="finite designs",
                advice=f"take more --steps{smaller}, and look at the prior{others}",
            )

    def judge(self, judge: ProteinJudge) -> None:
        """Add the judge's numbers to the measures of designs that lack them."""
        done = Done(self.out, f".{self.format}")
        left = [
            i
            for i in self.finished()
            if "entropy" not in done.known[self.name(i)]["measures"]
            and self.layout(i).length >= _FEWEST_JUDGED
        ]
        for i in tqdm(left, unit="design", desc="judging", dynamic_ncols=True, disable=not left):
            record = done.known[self.name(i)]
            said = judge.judge(torch.from_numpy(self._trace(i))[None])
            more = {
                "entropy": float(said.entropy),
                "cross_likelihood": float(said.cross_likelihood),
            }
            facts = {k: v for k, v in record.items() if k not in ("name", "from", "files")}
            facts["measures"] = {**record["measures"], **more}
            done.add(self.name(i), record["from"], list(record["files"]), facts)

    @property
    def begun(self) -> bool:
        """Whether its folder holds a design, of whatever settings."""
        return any(self.out.glob(f"{self.problem.name}_*.{self.format}"))

    def finished(self) -> list[int]:
        """The numbers of the designs that are drawn and kept as they are asked for now."""
        done = Done(self.out, f".{self.format}")
        asked = range(self.designs)
        return [i for i in asked if done.why_again(self.name(i), self._origin(i)) is None]

    def kept(self) -> list[Kept]:
        """The finished designs, in the order of their numbers."""
        known = Done(self.out, f".{self.format}").known
        return [
            Kept(name, self.layout(i), self._trace(i), known[name]["measures"])
            for i, name in ((i, self.name(i)) for i in self.finished())
        ]

    def _trace(self, i: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        return trace(read_structure(self.file(i)).chain("A"))

    def _origin(self, i: int) -> dict[str, str]:
        """By hash, all that a design comes from."""
        card, layout = self.method.card(), self.layout(i)
        h = of_file(self.h) if self.h is not None else card["h_transform"]
        weight = getattr(self.method.h_transform, "weight", None)
        if self.h is not None and weight is not None:
            h = [h, weight]
        names = [residue.name for residue in self.problem.residues]
        groups = self.problem.group.tolist()
        measured = fingerprint(
            self.problem.name, layout.lengths, names, groups, self.problem.trace, self.sigma_y
        )
        settings = fingerprint(
            describe(self.method.sampler), Noise.generator, self.format, noise_seed(self.seed, i)
        )
        return {
            "h": fingerprint(h),
            "prior": fingerprint(self.prior.identity()),
            "measurement": measured,
            "settings": settings,
        }

    def _left(self, done: Done, origins: Sequence[Mapping[str, str]]) -> list[int]:
        """The designs that are not done; those that are drawn again are said, by the reason."""
        why = [done.why_again(self.name(i), origin) for i, origin in enumerate(origins)]
        left = [i for i, reason in enumerate(why) if reason is not None]
        if len(left) < len(why):
            kept = len(why) - len(left)
            print(
                f"{kept} of {number(len(why), 'design')} {'is' if kept == 1 else 'are'} done "
                "already"
            )
        by_reason: dict[str, list[str]] = {}
        for i in left:
            if why[i]:
                by_reason.setdefault(str(why[i]), []).append(self.name(i))
        for reason, names in by_reason.items():
            print(f"drawn again, since {reason}: {some(names)}")
        return left

    def _draw(
        self,
        chunk: list[int],
        done: Done,
        origins: Sequence[Mapping[str, str]],
        bar: tqdm[Any],
        each: int,
    ) -> list[int]:
        """Draw and keep these designs; those that are not finite are not kept, and returned."""
        layouts = [self.layout(i) for i in chunk]
        seeds = [noise_seed(self.seed, i) for i in chunk]
        began = bar.n

        def look(state: State) -> None:
            bar.update(began + int(len(chunk) * min(state.step / each, 1)) - bar.n)

        x = drawn(
            self.prior, self.method, layouts, seeds, self.sigma_y, self.batch_size, on_step=look
        )
        finite = chains_at_all(x, layouts)
        good = [k for k, fine in enumerate(finite) if fine]
        if good:
            self._keep([chunk[k] for k in good], [layouts[k] for k in good], x[good], done, origins)
        return [i for i, fine in zip(chunk, finite, strict=True) if not fine]

    def _keep(
        self,
        chunk: list[int],
        layouts: list[Layout],
        x: Tensor,
        done: Done,
        origins: Sequence[Mapping[str, str]],
    ) -> None:
        rows = measured(x, layouts)
        for i, layout, row, one in zip(chunk, layouts, rows, x, strict=True):
            path = self.file(i)
            write_design(path, with_backbone(layout, one[: layout.length].double().numpy()))
            facts = {"contig": layout.contig, "residues": layout.length, "measures": row}
            done.add(self.name(i), origins[i], [path.name], facts)
