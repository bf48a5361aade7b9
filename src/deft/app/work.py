"""What the page asks of a pipeline: a look at a picture, and samples that arrive one by one."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import traceback
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from deft.app.asked import Asked, Measured, measured, picture, way_of
from deft.app.limits import Limits
from deft.app.results import Pictures, files, measurement, pictures
from deft.app.ways import GIVEN, PAINTED, Way, ways
from deft.app.words import CLEAN, in_words, spoken
from deft.errors import CheckpointError, DeftError
from deft.pipeline.answers import Answers, Assessment
from deft.pipeline.pipeline import DeftPipeline
from deft.pipeline.streamed import one_by_one
from deft.priors.base import Prior
from deft.reports import figure
from deft.steps import State
from deft.storage.cards import Allow

Kind = Literal["busy", "good", "doubtful", "wrong", "plain"]
Look = Callable[[int, int, int], None]
_KEPT = 8  # pictures of the page whose files are kept


@final
@dataclass(frozen=True)
class Said:
    """What the page says, and what it shows with it."""

    text: str
    kind: Kind = "plain"
    notes: tuple[str, ...] = ()
    pictures: Pictures | None = None
    files: tuple[Path, ...] = ()


@final
@dataclass(frozen=True)
class Looked:
    """The picture that a user dropped, as it will be measured, whether it is to be painted, or
    what is wrong with it.
    """

    said: Said
    shown: figure.Picture | None = None
    paints: bool = False


class _Stop(Exception):
    """Ends a run of a sampler."""


@final
@dataclass
class Desk:
    """The h-transforms that a page offers, `names` first, each opened when it is asked for; `prior`
    is in place of the one on their cards, and `device` where they run.

    The two that were used last stay open. Files that a user may download are in `folder`.
    """

    names: Sequence[str]
    limits: Limits
    folder: Path
    prior: Prior | None = None
    allow: Allow = ()
    device: str = "cpu"
    _open: OrderedDict[str, DeftPipeline] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: deque[Path] = field(default_factory=deque)

    def pipeline(self, name: str) -> DeftPipeline:
        """The one of this name, path or hub id. Raises `DeftError` where it cannot be opened."""
        with self._lock:
            if name not in self._open:
                if not isinstance(name, str) or not name.strip():
                    raise CheckpointError("h-transform", given="nothing", expected="a name")
                prior = self.prior if name in self.names else None
                opened = DeftPipeline.from_pretrained(name.strip(), prior=prior, allow=self.allow)
                self._open[name] = opened.to(self.device)
                while len(self._open) > 2:
                    self._open.popitem(last=False)
            self._open.move_to_end(name)
            return self._open[name]

    def ways(self, name: str) -> tuple[list[Way], Said]:
        """The ways to measure for an h-transform, and a word on it; none where it cannot be had."""
        try:
            pipe = self.pipeline(name)
            found = ways(pipe)
        except Exception as error:
            return [], wrong(error)
        size = " x ".join(map(str, pipe.prior.signal_shape[1:]))
        colour = "colour" if pipe.prior.signal_shape[0] == 3 else "grey"
        return found, Said(f"{name}: pictures of {size} in {colour}, prior {pipe.prior.name}.")

    def look(self, asked: Asked) -> Looked:
        """What the page shows of a picture before anything is drawn."""
        if asked.file is None:
            return Looked(Said("Drop a picture, an npy file or a CT slice."))
        try:
            pipe = self.pipeline(asked.h)
            way = way_of(asked, pipe)
            with warnings.catch_warnings(record=True) as doubts:
                warnings.simplefilter("always")
                shown = pipe.prior.value_range or (-1.0, 1.0)
                if way.paints or way.problem is not None:
                    x = picture(asked, pipe, self.limits)
                    seen = figure.picture(np.asarray(x), shown)
                else:
                    found = measured(asked, pipe, self.limits).observation
                    like = found.lifted.new_zeros(1, *pipe.prior.signal_shape)
                    seen = measurement(found, like, shown)
        except Exception as error:
            return Looked(wrong(error, asked.file, asked.beside))
        text = f"{asked.file.name}: {seen.shape[0]} x {seen.shape[1]}."
        if way.paints:
            text += " Paint over what is missing."
        return Looked(Said(text, notes=_notes(doubts, asked)), seen, way.paints)

    def draw(
        self, asked: Asked, stopped: Callable[[], bool], look: Look | None = None
    ) -> Iterator[Said]:
        """What the page says after each sample; the last has the verdict and the files, or what is
        wrong.

        `stopped` is asked after every step; `look` is told the sample, the step, and of how many.
        """
        try:
            yield from self._drawn(asked, stopped, look)
        except Exception as error:
            yield wrong(error, asked.file, asked.beside)

    def _drawn(
        self, asked: Asked, stopped: Callable[[], bool], look: Look | None
    ) -> Iterator[Said]:
        count, steps, seed = self.limits.numbers(asked.samples, asked.steps, asked.seed)
        yield Said(f"Opening {asked.h} ...", "busy")
        pipe = self.pipeline(asked.h)
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            found = measured(asked, pipe, self.limits)
        notes = _notes(doubts, asked)
        yield Said(f"Drawing sample 1 of {count} ...", "busy", notes)
        done = 0

        def on_step(state: State) -> None:
            if stopped():
                raise _Stop
            if look is not None:
                look(done, state.step, steps)

        drawing = one_by_one(
            pipe,
            found.observation,
            count,
            steps=None if steps == pipe.sampler.steps else steps,
            seed=seed,
            own_noise=found.own_noise,
            own_operator=found.own_operator,
            on_step=on_step,
        )
        answers: Answers | None = None
        while done < count:
            try:
                if stopped():
                    raise _Stop
                with warnings.catch_warnings(record=True) as doubts:
                    warnings.simplefilter("always")
                    answers = next(drawing)
            except _Stop:
                break
            done += 1
            notes = tuple(dict.fromkeys([*notes, *_notes(doubts, asked)]))
            if done < count:
                text = f"Drawing sample {done + 1} of {count} ..."
                yield Said(text, "busy", notes, pictures(answers))
        if answers is None:
            yield Said("Stopped before the first sample was done.", notes=notes)
            return
        verdict = answers.verdicts[0]
        text = f"{done} of {count} samples: {verdict.line()}."
        text += "" if verdict.misfit is None else " A misfit of 1 is right."
        yield Said(
            text if done == count else f"Stopped. {text}",
            "doubtful" if verdict.doubtful else "good",
            (*notes, *_advice(asked, verdict), *(in_words(note) for note in answers.notes)),
            pictures(answers),
            self._files(asked, answers, found),
        )

    def _files(self, asked: Asked, answers: Answers, found: Measured) -> tuple[Path, ...]:
        home = Path(tempfile.mkdtemp(dir=self.folder))
        self._kept.append(home)
        while len(self._kept) > _KEPT:
            shutil.rmtree(self._kept.popleft(), ignore_errors=True)
        said = {
            name: value if isinstance(value, (str, int, float, bool)) else str(value)
            for name, value in asdict(asked).items()
            if name not in ("painted", "file", "beside") and value is not None
        }
        assert asked.file is not None
        said["file"] = asked.file.name
        level = found.observation.sigma_y
        said["sigma_y"] = float(level.reshape(-1)[0])
        return files(home, asked.file.stem, answers, found.mask, said)


def _advice(asked: Asked, verdict: Assessment) -> tuple[str, ...]:
    """What a misfit that is far from right may come from, in the terms of the page."""
    if not verdict.far or asked.way not in (PAINTED, GIVEN):
        return ()
    if verdict.far == "above":
        return ("there is more in the measurement than the noise level allows for: is it right?",)
    clean = f", or tick {CLEAN!r}" if asked.way == PAINTED else ""
    return (f"the measurement has less noise than the noise level says: lower it{clean}",)


def wrong(error: Exception, *paths: Path | None) -> Said:
    """What the page says of an error; where the program is at fault the terminal says more."""
    if isinstance(error, DeftError):
        return Said(spoken(error, *paths), "wrong")
    if isinstance(error, OSError):
        return Said(in_words(f"{error.strerror or error}: {error.filename}", *paths), "wrong")
    traceback.print_exception(error, file=sys.stderr)
    first = (str(error).strip().splitlines() or [""])[0]
    text = f"This is a fault of deft, not of what you gave ({type(error).__name__}: {first})."
    return Said(f"{text} The terminal shows where.", "wrong")


def _notes(doubts: Any, asked: Asked) -> tuple[str, ...]:
    """What was warned of by this library, in the words of the page."""
    kept = [one for one in doubts if issubclass(one.category, UserWarning)]
    return tuple(
        dict.fromkeys(in_words(str(one.message), asked.file, asked.beside) for one in kept)
    )
