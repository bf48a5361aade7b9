"""What `deft sample` draws of pictures larger than the prior: one picture after the other, one
sample at a time.

    OUT/parts/NAME-J-HASH.npz
            sample J, as soon as it is drawn; HASH is of all that it comes from

When all samples of a picture are there, its files are written as those of any image, and the parts
are removed. Memory holds the maps of one picture and one micro-batch of tiles, and its samples when
they are written.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from deft import signals
from deft.commands.done import Done
from deft.commands.drawing import Drawing
from deft.commands.fit import facts, say_fit
from deft.commands.sample_files import write
from deft.commands.tiles import Pieces, Reader, on_tiles
from deft.data import write_npz
from deft.errors import SamplesNotFinite
from deft.likelihoods import Observation
from deft.noise import mix
from deft.storage.fingerprint import fingerprint
from deft.studies.method import Method
from deft.studies.words import number

PARTS = "parts"


@final
@dataclass(frozen=True)
class TiledDrawing:
    """Samples of pictures in a folder that goes on from what is done; `h` is the file that the
    method came from, where it came from one.
    """

    out: Path
    reader: Reader
    pieces: Pieces
    method: Method
    seeds: Sequence[int]
    samples: int
    h: Path | None = None

    def check(self) -> None:
        """Raise where a picture cannot be measured, or the method does not apply to it; the prior
        is not evaluated.
        """
        for i in range(len(self.pieces)):
            prior = self.reader.tiled(self.pieces, i)
            observed, _ = self.reader.read(self.pieces, i, prior)
            on_tiles(self.method, prior).check(prior, observed.to(prior.device))

    def run(self) -> None:
        """Draw what is not done. Raises `SamplesNotFinite` where a sample is not finite."""
        done, total = Done(self.out), len(self.pieces) * self.samples
        observed = None
        with tqdm(total=total, unit="sample", desc="sampling", dynamic_ncols=True) as bar:
            try:
                for i in range(len(self.pieces)):
                    observed = self._picture(i, done, bar)
            except KeyboardInterrupt as error:
                by = signals.number_of(error)
                kept = f"{bar.n} of {number(total, 'sample')} are in {self.out}"
                raise signals.Stopped(
                    f"stopped{signals.by(by)}; {kept}: the same command goes on from there.", by
                ) from error
        if observed is not None:
            say_fit(done, self.pieces.names, observed, self.method)

    def _picture(self, i: int, done: Done, bar: tqdm) -> Observation:
        """Draw and keep one picture's samples; its measurement."""
        name, prior = self.pieces.names[i], self.reader.tiled(self.pieces, i)
        observed, truth = self.reader.read(self.pieces, i, prior)
        method = on_tiles(self.method, prior)
        plain = Drawing(
            self.out,
            prior,
            self.reader.problem,
            method,
            observed,
            [name],
            self.seeds[i : i + 1],
            self.samples,
            1,
            self.h,
            truth,
        )
        origin = plain.origins()[0]
        why = done.why_again(name, origin)
        if why is None:
            bar.update(self.samples)
            return observed
        if why:
            bar.write(f"drawn again, since {why}: {name}")
        here = observed.to(prior.device)
        files = [
            self.out / PARTS / f"{name}-{j}-{fingerprint(dict(origin))[:16]}.npz"
            for j in range(self.samples)
        ]
        for j, file in enumerate(files):
            if not file.exists():
                seed = [mix(self.seeds[i], 6, j)]
                x = prior.decode(method.samples(prior, here, 1, seed=seed, batch_size=1).x_0)[0]
                if not bool(torch.isfinite(x).all()):
                    raise _not_finite(name, j)
                file.parent.mkdir(parents=True, exist_ok=True)
                write_npz(file, {"x": x.cpu()})
            bar.update(1)
        x = torch.cat([_read(file) for file in files])
        clean = None if truth is None else truth[0]
        known = facts(x, observed, clean, prior)
        done.add(name, origin, write(self.out, name, x, observed, prior, clean), known)
        self._tidy(name, files)
        return observed

    def _tidy(self, name: str, files: Sequence[Path]) -> None:
        for file in files:
            file.unlink(missing_ok=True)
        folder = self.out / PARTS
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def say_once(pieces: Pieces, reader: Reader) -> None:
    """That tiles are an approximation."""
    size = " x ".join(map(str, reader.prior.event_shape[1:]))
    many = max(len(reader.tiled(pieces, i).tiles) for i in range(len(pieces)))
    warnings.warn(
        f"pictures larger than {reader.prior.name} are drawn by overlapping tiles of {size} (up to "
        f"{many} for a picture): an approximation. See docs/tiles.md; --tile off refuses them.",
        stacklevel=2,
    )


def _read(file: Path) -> Tensor:
    with np.load(file) as kept:
        return torch.from_numpy(kept["x"])


def _not_finite(name: str, j: int) -> SamplesNotFinite:
    return SamplesNotFinite(
        f"sample {j + 1} of {name} is not finite",
        given="NaN or infinite values",
        expected="finite samples",
        advice="look at this measurement, and at the weight of the guidance (zeta, scale, step) "
        "and the weights of the prior; nothing of it is kept",
    )
