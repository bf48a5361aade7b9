"""A trained h-transform with what it belongs to, its prior and its problem, as one object: from
one name to samples with their verdicts.

    pipe = deft.DeftPipeline.from_pretrained("h-natural-64-inpainting")
    answers = pipe(photograph, mask=mask, num_samples=8)    samples of p(x_0 | y), mean, verdicts
    deft.Posterior(pipe.prior, pipe.h, observation)         the posterior, for any sampler

    large = pipe.tiled((3, 512, 768))       # the same for pictures larger than the prior

A file names its prior (`prior_from`) and its problem; nothing that it names is downloaded, and no
class outside the library is built unless the caller allows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, final

from torch import Tensor

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.tiled import TiledHTransform
from deft.metrics.intervals import Intervals
from deft.paths import WeightedSamples, simulate, weigh
from deft.pipeline import publishing
from deft.pipeline.answers import Answers, answered
from deft.pipeline.measured import observation_of
from deft.pipeline.opened import opened
from deft.pipeline.read import Given
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.tiled import Tiled
from deft.priors.tiles import Layout
from deft.problems import Problem
from deft.samplers.arguments import Seed
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.storage import hub
from deft.storage.cards import Allow, described
from deft.studies.method import Method

_PATH_STEPS = 50  # of DDIM with fresh noise, whose paths have weights
_NOT_FOR_TILES = ("alarm", "conformal")  # what was measured on whole signals of the prior


@final
@dataclass(frozen=True, repr=False)
class DeftPipeline:
    """An h-transform `h`, ready to sample, the `prior` that it was trained for, and the `problem`
    that it was trained on; `sampler` is the one that it was validated with, or the usual one;
    `intervals` those that `deft conformal` calibrated, if it did; `card` what its file says.
    """

    h: HTransform
    prior: Prior
    problem: Problem
    sampler: Sampler
    intervals: Intervals | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_pretrained(
        cls,
        place: str | Path,
        *,
        prior: str | Path | Prior | None = None,
        allow: Allow = (),
        allow_prior: bool = False,
        revision: str | None = None,
    ) -> DeftPipeline:
        """The h-transform at `place` with its prior and its problem, in evaluation mode.

        `place` is a run folder or one of `save_pretrained`, a file, the name of one that ships or
        lies in a folder of `$DEFT_WEIGHTS`, or a hub id (at a `revision`). `prior` replaces the one
        that the card names: a name, a path, or the prior itself; what a card names is downloaded
        with `allow_prior` alone. `allow` names modules of the user's own that the file may name,
        and folders whose mask files may be read. Raises `CheckpointError` for files that are
        damaged, out of reach, or belong to another prior, and `InvalidInput` for what cannot be
        built.
        """
        return cls(*opened(place, prior, allow, allow_prior, revision))

    def __call__(
        self,
        measurements: object,
        *,
        operator: object = None,
        mask: object = None,
        kernel: object = None,
        angles: object = None,
        sensitivities: object = None,
        fft: str | None = None,
        invert_mask: bool = False,
        sigma_y: float | Tensor | None = None,
        value_range: tuple[float, float] | str | None = None,
        convert: str | None = None,
        slice: str | None = None,
        num_samples: int = 8,
        steps: int | None = None,
        sampler: object = None,
        seed: Seed = 0,
        batch_size: int | None = 64,
        paths: int = 0,
        progress: bool = False,
    ) -> Answers:
        """Posterior samples for measurements, with a verdict on each.

        `measurements` are a picture, an array, a tensor, a path (picture, npy, npz, DICOM, NIfTI
        with the name of a `slice`), a list of these, or an `Observation`. What measured them is
        said by one of `mask` (1 or white where observed), `kernel`, `angles` (degrees) and
        `operator`; by default it is the problem's, where it draws none. k-space is complex, and has
        `sensitivities`, a `mask` and a convention `fft` (docs/mri.md). Whole numbers run over their
        type, floating-point ones over `value_range` (default: the prior's range; for DICOM the
        window in HU), and `sigma_y`, the standard deviation of the noise (one, or an array of the
        shape of the measurements), has their unit (default: the problem's).
        `convert` turns pictures "grey" or to "rgb". `steps` are those of the default sampler, or of
        a `sampler` that is a scheduler of diffusers; `paths` asks for the effective sample size of
        so many paths; `batch_size` is the largest number of signals denoised at once. Raises
        `InvalidInput` where something is not known or does not fit, `BadImage` for files, and
        `SamplesNotFinite`.
        """
        drawn_by = self._sampler(steps, sampler)
        own = self.problem.window or _window_on(self.card)
        how = (operator, mask, kernel, angles, invert_mask)
        given = Given(*how, sigma_y, value_range, convert, own, sensitivities, fft, slice)
        observed = observation_of(measurements, self.prior, self.problem, given)
        posterior = Posterior(self.prior, self.h, observed)
        samples = drawn_by(
            posterior, num_samples, seed=seed, batch_size=batch_size, progress=progress
        )
        method = Method("DEFT", self.h, drawn_by, intervals=self.intervals, learned=self.card)
        return answered(
            method,
            self.prior,
            self.problem,
            observed,
            samples,
            own_noise=sigma_y is not None,
            own_operator=any(said is not None for said in (*how[:-1], sensitivities)),
            weighed=self._weighed(posterior, paths, steps, seed, batch_size),
            batch_size=batch_size,
        )

    def __repr__(self) -> str:
        by = f"{type(self.sampler).__name__}({self.sampler.steps})"
        made_for = described(self.problem.card())
        return f"DeftPipeline({type(self.h).__name__} on {self.prior.name}, {made_for}, {by})"

    def _sampler(self, steps: int | None, sampler: object) -> Sampler:
        if hasattr(sampler, "set_timesteps"):  # a scheduler of diffusers
            from deft.interop.diffusers import SchedulerSampler

            return SchedulerSampler(sampler, self.sampler.steps if steps is None else steps)
        if sampler is None:
            return self.sampler if steps is None else DPMSolver(steps)
        if not isinstance(sampler, Sampler):
            raise InvalidInput(
                "sampler",
                given=type(sampler).__name__,
                expected="a deft.Sampler, such as deft.DPMSolver(20), or a scheduler of diffusers",
            )
        if steps is not None:
            raise InvalidInput(
                "steps",
                given=steps,
                expected="nothing beside a sampler, which has its own",
                advice="leave `steps` or `sampler` out",
            )
        return sampler

    def _weighed(
        self,
        posterior: Posterior,
        paths: int,
        steps: int | None,
        seed: Seed,
        batch_size: int | None,
    ) -> WeightedSamples | None:
        if isinstance(paths, bool) or not isinstance(paths, int) or paths < 0:
            raise InvalidInput("paths", given=paths, expected="how many paths to weigh, 0 for none")
        if not paths:
            return None
        by = DDIM(steps or _PATH_STEPS, eta=1.0)
        walked = simulate(posterior, by, paths, seed=seed, batch_size=batch_size)
        return weigh(walked, posterior, batch_size=batch_size)

    def tiled(
        self,
        event_shape: Sequence[int],
        *,
        overlap: int | None = None,
        batch: int | None = None,
        layout: Layout = "moving",
    ) -> DeftPipeline:
        """The same for pictures of the shape `event_shape`, larger than the prior's, by overlapping
        tiles (deft.priors.tiled): an approximation, which has no alarm and no intervals.

        `overlap`, `batch` and `layout` are as in `Tiled`. Raises `InvalidInput` where tiles do not
        fit, and for an h-transform that cannot work on them.
        """
        h = TiledHTransform(self.h, event_shape, overlap=overlap, batch=batch, layout=layout)
        return replace(
            self,
            h=h.eval(),
            prior=Tiled(self.prior, event_shape, overlap=overlap, batch=batch, layout=layout),
            intervals=None,
            card={name: said for name, said in self.card.items() if name not in _NOT_FOR_TILES},
        )

    def to(self, device: str) -> Self:
        """The same on a device; h and prior are moved in place."""
        self.h.to(device)
        self.prior.to(device)
        return self

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        prior_from: str | None = None,
        prior_revision: str | None = None,
        license: str | None = None,
        prior_license: str | None = None,
        examples: Tensor | None = None,
        sheet: bool = True,
        progress: bool = False,
    ) -> Path:
        """Write h.safetensors, README.md (a model card) and, unless `sheet` is False, samples.png
        into a folder that `from_pretrained` reads; the prior is named, not copied.

        `prior_from` is the name, the path or the hub id of the prior, `prior_revision` its commit;
        by default what the card says. The licences are identifiers such as "apache-2.0". The sheet
        shows samples for `examples`, clean signals (n, *signal), or for two samples of the prior.
        Returns the folder. Raises `InvalidInput` for what cannot be published.
        """
        about = publishing.about(self.card, prior_from, prior_revision, license, prior_license)
        return publishing.write(
            Path(folder), self._method(), self.prior, self.problem, about, examples, sheet, progress
        )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "An h-transform",
        create_pr: bool = False,
        prior_from: str | None = None,
        prior_revision: str | None = None,
        license: str | None = None,
        prior_license: str | None = None,
        examples: Tensor | None = None,
        sheet: bool = True,
    ) -> str:
        """Put the files of `save_pretrained` into a repository of the Hugging Face hub, which is
        made where there is none; the address of the commit.

        The prior must be one that others can have: a hub id, or one that ships. Raises
        `InvalidInput` where it is not, and `CheckpointError` where the hub refuses.
        """
        hub.named(repo_id)
        about = publishing.about(
            self.card, prior_from, prior_revision, license, prior_license, public=True
        )
        return publishing.push(
            repo_id,
            self._method(),
            self.prior,
            self.problem,
            about,
            examples,
            sheet,
            private=private,
            token=token,
            message=commit_message,
            create_pr=create_pr,
        )

    def _method(self) -> Method:
        return Method("DEFT", self.h, self.sampler, intervals=self.intervals, learned=self.card)


def _window_on(card: Mapping[str, Any]) -> Any:
    """The window in Hounsfield units that the card says."""
    said = card.get("units")
    return said.get("window") if isinstance(said, Mapping) else None
