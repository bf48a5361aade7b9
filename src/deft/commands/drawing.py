"""What `deft sample` draws, keeps and says.

    misfit of an image
            root mean square of ||y - A x|| / (sigma_y sqrt(m)) over its samples; 1 is right

Over truths and measurements a sample of the posterior is distributed as the truth itself, so that
the misfit of m measurements is 1 with a standard deviation of 1 / sqrt(2 m). It is called far from
1 beyond half of it and four of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor
from tqdm.auto import tqdm

from deft import signals
from deft.commands.done import Done, of_measurement
from deft.commands.fit import facts, say_fit
from deft.commands.sample_files import write, write_interval, write_weights
from deft.commands.verdicts import Verdicts
from deft.errors import DeftError, SamplesNotFinite
from deft.likelihoods import Observation
from deft.metrics.intervals import Intervals
from deft.noise import Noise
from deft.priors.base import Prior
from deft.problems import Problem
from deft.steps import State
from deft.storage.fingerprint import fingerprint, of_file
from deft.studies.method import Method, describe
from deft.studies.words import number, some


@final
@dataclass(frozen=True)
class Drawing:
    """Samples of every image of an observation, in a folder that goes on from what is done.

    `h` is the file that the method came from, where it came from one; `truth` the clean images,
    where they are known; `intervals` those that hold for such samples, `functionals` the weights
    of those that have a factor each; `verdicts` judges the answers.
    """

    out: Path
    prior: Prior
    problem: Problem
    method: Method
    observed: Observation
    names: Sequence[str]
    seeds: Sequence[int]
    samples: int
    batch_size: int
    h: Path | None = None
    truth: Tensor | None = None
    intervals: Intervals | None = None
    functionals: Tensor | None = None
    verdicts: Verdicts | None = None

    def run(self) -> None:
        """Draw what is not done. Raises `SamplesNotFinite` where samples are not finite: at once
        where all are, else when the other images are done.
        """
        done = Done(self.out)
        origins = self.origins()
        left = self._left(done, origins)
        broken: list[int] = []
        size = max(1, self.batch_size // self.method.sampler.signals(self.samples))
        total = len(self.names)
        with tqdm(
            total=total,
            initial=total - len(left),
            unit="image",
            desc="sampling",
            dynamic_ncols=True,
        ) as bar:
            try:
                for start in range(0, len(left), size):
                    chunk = left[start : start + size]
                    broken += self._draw(chunk, done, origins)
                    if len(broken) == start + len(chunk):
                        break
                    bar.update(len(chunk))
            except KeyboardInterrupt as error:
                by = signals.number_of(error)
                kept = f"{bar.n} of {number(total, 'image')} are in {self.out}"
                raise signals.Stopped(
                    f"stopped{signals.by(by)}; {kept}: the same command goes on from there.", by
                ) from error
        say_fit(done, self.names, self.observed, self.method, self.verdicts)
        if broken:
            raise self._not_finite(broken)

    def origins(self) -> list[dict[str, str]]:
        """By hash, all that the samples of each image come from."""
        card = self.method.card()
        h = fingerprint(of_file(self.h) if self.h is not None else card["h_transform"])
        prior, settings = (
            fingerprint(self.prior.identity()),
            fingerprint(describe(self.method.sampler), self.samples, Noise.generator),
        )
        return [
            {
                "h": h,
                "prior": prior,
                "measurement": of_measurement(
                    self.problem,
                    self.observed.take([i]),
                    None if self.truth is None else self.truth[i],
                ),
                "settings": fingerprint(settings, seed),
            }
            for i, seed in enumerate(self.seeds)
        ]

    def _left(self, done: Done, origins: Sequence[Mapping[str, str]]) -> list[int]:
        """The images that are not done; those that are drawn again are said, by the reason."""
        why = [
            done.why_again(name, origin) for name, origin in zip(self.names, origins, strict=True)
        ]
        left = [i for i, reason in enumerate(why) if reason is not None]
        if len(left) < len(why):
            print(
                f"{len(why) - len(left)} of {number(len(why), 'image')} "
                f"{'is' if len(why) == 1 else 'are'} done already"
            )
        by_reason: dict[str, list[str]] = {}
        for i in left:
            if why[i]:
                by_reason.setdefault(str(why[i]), []).append(self.names[i])
        for reason, names in by_reason.items():
            print(f"drawn again, since {reason}: {some(names)}")
        return left

    def _draw(
        self, chunk: list[int], done: Done, origins: Sequence[Mapping[str, str]]
    ) -> list[int]:
        """Draw and keep these images; those whose samples are not finite are not kept, and
        returned.
        """
        part = self.observed.take(chunk).to(self.prior.device)
        drawn = self.method.samples(
            self.prior.take(chunk),
            part,
            self.samples,
            seed=[self.seeds[i] for i in chunk],
            batch_size=self.batch_size,
        )
        broken = []
        signals = self.prior.decode(drawn.x_0)
        for k, (i, x) in enumerate(zip(chunk, signals, strict=True)):
            if not bool(torch.isfinite(x).all()):
                broken.append(i)
                continue
            clean = None if self.truth is None else self.truth[i]
            known = facts(x, part.take([k]), clean, self.prior)
            if self.verdicts is not None:
                known |= self.verdicts.facts(self.prior.take([i]), part.take([k]), x)
            one, x = self.observed.take([i]), x.cpu()
            files = write(self.out, self.names[i], x, one, self.prior, clean)
            if self.intervals is not None:
                more, held = write_interval(
                    self.out,
                    self.names[i],
                    self.intervals,
                    x,
                    one,
                    self.prior,
                    clean,
                    self.functionals,
                )
                files, known = files + more, known | held
            if drawn.weights:
                files.append(write_weights(self.out, self.names[i], drawn.weights[k]))
            done.add(self.names[i], origins[i], files, known)
        return broken

    def _not_finite(self, broken: Sequence[int]) -> SamplesNotFinite:
        first = broken[0]
        one = self.observed.take([first]).to(self.prior.device)
        step = broken_step(
            self.method, self.prior.take([first]), one, self.samples, self.seeds[first]
        )
        where = f"; of {self.names[first]} they are so from {step}" if step else ""
        return SamplesNotFinite(
            f"samples of {number(len(broken), 'image')} are not finite",
            given=f"NaN or infinite values for {some([self.names[i] for i in broken])}{where}",
            expected="finite samples",
            advice="look at these measurements, and at the weight of the guidance (zeta, scale, "
            "step) and the weights of the prior; nothing of them is kept, the other "
            f"images in {self.out} are",
        )


@final
class _Found(Exception):
    """Ends a run of a sampler at the step that is looked for."""


def broken_step(
    method: Method, prior: Prior, observation: Observation, samples: int, seed: int
) -> str:
    """After which step the samples of one observation cease to be finite, in words; empty where
    that cannot be known. Draws them once more.
    """
    taken, steps = 0, getattr(method.sampler, "steps", None)

    def look(state: State) -> None:
        nonlocal taken
        taken += 1
        if not bool(torch.isfinite(state.x_t).all()):
            raise _Found

    try:
        method.samples(prior, observation, samples, seed=[seed], on_step=look)
    except _Found:
        return f"step {taken} of {steps} on" if steps else f"step {taken} on"
    except (DeftError, RuntimeError):
        return ""
    return f"the last of {number(steps, 'step')} on" if steps else "the last step on"
