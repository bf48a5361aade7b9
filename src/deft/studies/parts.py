"""The samples of a method, drawn in parts that a run folder keeps.

    sample j of image i      drawn from (seed of the image, j)

A part holds all samples of a range of images, what they cost, and what is known of their weights
where they had any. It is written in one step, so that a run that was stopped goes on where it
stopped.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from deft import signals
from deft.errors import CheckpointError, OutOfMemory
from deft.likelihoods import Observation
from deft.operators import solvers
from deft.priors.base import Prior
from deft.storage.atomic import atomic
from deft.studies.counted import Counted
from deft.studies.method import Method


@final
@dataclass(frozen=True)
class Part:
    """Samples of some images: (images, samples, *event), with what they cost.

    `iterations` are those of conjugate gradients; `memory` is the most bytes that a GPU held
    meanwhile, None on a CPU, where torch does not count; `weights` has a card per image where
    samples were chosen from weighted ones.
    """

    start: int
    samples: Tensor
    seconds: float
    evaluations: int
    gradients: int
    memory: int | None = None
    weights: tuple[Mapping[str, object], ...] = ()
    iterations: int = 0

    def first(self, count: int) -> Part:
        """The first images of the part, with their share of the costs."""
        share = min(count / max(len(self.samples), 1), 1.0)
        evaluations, gradients, iterations = (
            round(share * n) for n in (self.evaluations, self.gradients, self.iterations)
        )
        return replace(
            self,
            samples=self.samples[:count],
            seconds=share * self.seconds,
            evaluations=evaluations,
            gradients=gradients,
            iterations=iterations,
            weights=self.weights[:count],
        )


def draw(
    prior: Prior,
    observation: Observation,
    method: Method,
    folder: Path,
    samples: int,
    seeds: Sequence[int],
    batch_size: int,
    bar: tqdm,
) -> list[Part]:
    """All parts of a method: those that are there, and those that are missing, each written when it
    is done; `seeds` has one for each image.
    """
    where = folder / "parts" / method.folder
    parts = [part for part in read_parts(where) if part.start < len(observation)]
    done = {part.start + i for part in parts for i in range(len(part.samples))}
    bar.update(len(done & set(range(len(observation)))))
    for chunk in _missing(
        len(observation), done, max(1, batch_size // max(method.sampler.signals(samples), 1))
    ):
        counted = Counted(prior.take(chunk))
        _begin(prior.device)
        start = time.perf_counter()
        with _explained(method, folder), solvers.counted() as solves:
            # what a method does first is timed too: a measurement may be lifted by a long
            # computation
            drawn = method.samples(
                counted,
                observation.take(chunk),
                samples,
                seed=[seeds[i] for i in chunk],
                batch_size=batch_size,
            )
        memory = _end(prior.device)
        seconds = time.perf_counter() - start
        part = Part(
            chunk[0],
            prior.decode(drawn.x_0).float().cpu(),
            seconds,
            counted.evaluations,
            counted.gradients,
            memory,
            drawn.weights,
            solves.taken,
        )
        _write_part(where, part)
        parts.append(part)
        bar.update(len(chunk))
    return [part.first(len(observation) - part.start) for part in parts]


@contextmanager
def _explained(method: Method, folder: Path) -> Iterator[None]:
    """Say what to do when there is no room for a batch, and after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt as error:
        number = signals.number_of(error)
        raise signals.Stopped(
            f"stopped{signals.by(number)} in {method.label}; what is finished is in {folder}: the "
            "same call goes on from there.",
            number,
        ) from error
    except OutOfMemory as error:
        raise OutOfMemory(f"{method.label}: {error} Finished parts are kept.") from error


def _missing(count: int, done: set[int], size: int) -> list[range]:
    """Ranges of at most `size` images, none of which is done."""
    ranges, start = [], 0
    while start < count:
        if start in done:
            start += 1
            continue
        stop = start
        while stop < count and stop - start < size and stop not in done:
            stop += 1
        ranges.append(range(start, stop))
        start = stop
    return ranges


def _write_part(where: Path, part: Part) -> None:
    buffer = io.BytesIO()
    costs = np.array([part.seconds, part.evaluations, part.gradients], dtype=np.float64)
    known = json.dumps(
        {"memory": part.memory, "iterations": part.iterations, "weights": list(part.weights)},
        allow_nan=False,
    )
    np.savez(
        buffer, start=part.start, samples=part.samples.numpy(), costs=costs, known=np.array(known)
    )
    with atomic(where / f"{part.start:06d}-{part.start + len(part.samples):06d}.npz") as file:
        file.write(buffer.getvalue())


def read_parts(where: Path) -> list[Part]:
    """The parts in a folder. Raises `CheckpointError` where one is damaged."""
    parts = []
    for path in sorted(where.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as stored:
                seconds, evaluations, gradients = stored["costs"].tolist()
                known = (
                    json.loads(str(stored["known"])) if "known" in stored.files else {}
                )  # which earlier versions did not record
                part = Part(
                    int(stored["start"]),
                    torch.from_numpy(stored["samples"]),
                    seconds,
                    int(evaluations),
                    int(gradients),
                )
                known["weights"] = tuple(known.get("weights", ()))
                parts.append(
                    replace(
                        part,
                        **{
                            name: known[name]
                            for name in ("memory", "iterations", "weights")
                            if name in known
                        },
                    )
                )
        except Exception as error:
            raise CheckpointError(
                f"{path} cannot be read ({error}); delete it, and the same call will make it again."
            ) from error
    return parts


def _begin(device: torch.device) -> None:
    """Wait for what the device does, and forget how much it held."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)


def _end(device: torch.device) -> int | None:
    """Wait for what the device does; the most bytes that it held since `_begin`."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)
