"""Pictures larger than the prior, as `deft sample` finds them: which they are, how large each is,
and what was measured of it.

Pictures may have many sizes, so that each is read, measured and drawn by itself, when its turn
comes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from deft import checks
from deft.commands import inputs, measurements
from deft.commands.inputs import Convert, Range
from deft.commands.mask_inputs import mask_file
from deft.data import read_array
from deft.data.ct import holds_slices
from deft.errors import BadImage, InvalidInput
from deft.htransforms.tiled import TiledHTransform, takes_whole
from deft.likelihoods import Observation
from deft.noise import Noise, mix
from deft.pipeline.k_space import has_frequencies
from deft.priors.base import Prior
from deft.priors.tiled import Tiled
from deft.priors.tiles import Layout, room
from deft.problems import Problem
from deft.storage import pictures
from deft.studies.method import Method

HELP = {
    "tile": "pictures larger than the prior: 'auto' draws them by overlapping tiles, an "
    "approximation; the tile's size says the same, and 'off' refuses such pictures",
    "overlap": "places that neighbouring tiles share (default: a quarter of a tile)",
    "layout": "where tiles lie: 'moving', they drift with the noise level, so that no place is "
    "smoother than another (default), or 'fixed', somewhat fewer tiles",
}
_ARRAYS = (".npy", ".npz")
Size = tuple[int, int]


@final
@dataclass(frozen=True)
class Pieces:
    """Pictures of which some are larger than the prior: the name, the file, the row where that is
    an array, and the height and width of each.
    """

    names: Sequence[str]
    files: Sequence[Path]
    rows: Sequence[int | None]
    sizes: Sequence[Size]

    def __len__(self) -> int:
        return len(self.names)

    def first(self, limit: int | None) -> Pieces:
        """The first few."""
        return Pieces(self.names[:limit], self.files[:limit], self.rows[:limit], self.sizes[:limit])


def wanted(
    tile: str, overlap: int | None, layout: str | None, fit: str | None, prior: Prior
) -> bool:
    """Whether pictures may be drawn by tiles. Raises `InvalidInput` for a `tile` that is none of
    auto, off and the prior's own size, and for options that have no use.
    """
    size = " x ".join(map(str, prior.event_shape[1:]))
    if tile not in ("auto", "off") and {tile} != {str(n) for n in prior.event_shape[1:]}:
        raise InvalidInput(
            "--tile",
            given=tile,
            expected=f"auto, off, or the size of the signals of {prior.name}, {size}",
            advice="a prior denoises signals of its own size alone; auto takes it",
        )
    if prior.codec is not None or prior.event_axes != "image":
        inputs.unused(
            f"with {prior.name}, whose signals have no tiles", overlap=overlap, layout=layout
        )
        return False
    if tile == "off" or fit is not None:
        without = "with --tile off" if tile == "off" else "with --fit, which makes pictures fit"
        inputs.unused(without, overlap=overlap, layout=layout)
        if tile != "off":
            inputs.unused(without, tile=None if tile == "auto" else tile)
        return False
    if overlap is not None:
        checks.whole(
            "--overlap",
            overlap,
            least=0,
            most=min(prior.event_shape[1:]) - 1,
            meaning="the places that neighbouring tiles share, fewer than a tile has",
        )
    return True


def of_images(path: Path, prior: Prior, key: str | None, strict: bool) -> Pieces | None:
    """The clean images at a path, where some are larger than the prior's signals and none is
    smaller; None otherwise. Raises `BadImage` for one that cannot be read, where that is `strict`.
    """
    if not path.exists() or holds_slices(path):
        return None
    if path.suffix.lower() in _ARRAYS and not path.is_dir():
        shape = read_array(path, key).shape
        return None if len(shape) < 3 else _rows(path, shape, (1, 1), prior)
    files = pictures.found(path, "images")
    return _files(path, files, prior, (1, 1), strict)


def of_measurements(
    path: Path, prior: Prior, problem: Problem, key: str | None, strict: bool
) -> Pieces | None:
    """The measurements at a path, as `of_images`; a picture is as many times as large as its
    measurement as the problem makes it of a signal of the prior.
    """
    if not path.exists():
        return None
    times = _ratio(problem, prior)
    if times is None:
        return None
    if path.suffix.lower() in _ARRAYS and not path.is_dir():
        shape = read_array(path, key).shape
        return None if len(shape) < 3 else _rows(path, shape, times, prior)
    files = pictures.found(path, "measurements", (*_ARRAYS, *pictures.SUFFIXES))
    return _files(path, files, prior, times, strict)


def _ratio(problem: Problem, prior: Prior) -> Size | None:
    """How many times as high and wide a signal is as its measurement; (1, 1) where the problem has
    a size of its own, None where its measurement is no picture, k-space for one.
    """
    like = torch.zeros(1, *prior.signal_shape)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            operator = problem.operator(like, Noise([0]))
            if has_frequencies(operator):
                return None
            shape = tuple(operator(like).shape[2:])
    except InvalidInput:
        return (1, 1)
    height, width = prior.signal_shape[1:]
    if len(shape) != 2 or height % shape[0] or width % shape[1]:
        return None
    return height // shape[0], width // shape[1]


def _rows(path: Path, shape: Sequence[int], times: Size, prior: Prior) -> Pieces | None:
    size = (shape[-2] * times[0], shape[-1] * times[1])
    names = [f"{i:05d}" for i in range(shape[0])]
    count = len(names)
    return _larger(Pieces(names, [path] * count, list(range(count)), [size] * count), prior)


def _files(
    path: Path, files: Sequence[Path], prior: Prior, times: Size, strict: bool
) -> Pieces | None:
    sizes, kept = [], []
    for file in files:
        try:
            if file.suffix.lower() in _ARRAYS:
                height, width = read_array(file).shape[-2:]
            else:
                width, height = pictures.decoded(file).size
        except (BadImage, pictures.Unreadable, ValueError) as error:
            if strict:
                raise BadImage(f"{error} It would be skipped without --strict.") from error
            continue
        kept.append(file)
        sizes.append((height * times[0], width * times[1]))
    names = inputs.image_names(kept, path if path.is_dir() else path.parent)
    found = _larger(Pieces(names, kept, [None] * len(kept), sizes), prior)
    if found is not None and len(kept) < len(files):
        left = [file.name for file in files if file not in kept]
        warnings.warn(
            f"skipped {len(left)} of {len(files)} files in {path} that cannot be read: "
            f"{', '.join(left[:5])}.",
            stacklevel=3,
        )
    return found


def _larger(pieces: Pieces, prior: Prior) -> Pieces | None:
    height, width = prior.signal_shape[1:]
    fits = [h >= height and w >= width for h, w in pieces.sizes]
    more = any(size != (height, width) for size in pieces.sizes)
    return pieces if fits and all(fits) and more else None


@final
@dataclass(frozen=True)
class Reader:
    """How pictures are read and measured: the options of the command."""

    prior: Prior
    problem: Problem
    seed: int
    measured: bool  # they are measurements
    overlap: int | None
    layout: Layout | None
    batch_size: int
    convert: Convert | None
    value_range: Range | None
    strict: bool
    key: str | None
    masks: Path | None
    invert_masks: bool
    sigma_y: float | Path | None

    def tiled(self, pieces: Pieces, i: int) -> Tiled:
        """The prior of one picture."""
        own = self.prior.take([i]) if self.prior.num_observations > 1 else self.prior
        shape = (self.prior.event_shape[0], *pieces.sizes[i])
        batch = min(self.batch_size, room(self.prior.event_shape, self.prior.device))
        layout = self.layout or "moving"
        return Tiled(own, shape, overlap=self.overlap, batch=batch, layout=layout)

    def read(self, pieces: Pieces, i: int, prior: Prior) -> tuple[Observation, Tensor | None]:
        """The measurement of one picture, and the picture itself, (1, *event), where it is
        known.
        """
        file, row = pieces.files[i], pieces.rows[i]
        if self.measured:
            masks = None if self.masks is None else mask_file(self.masks, pieces.names[i])
            observed, _ = measurements.observation(
                file,
                prior,
                self.problem,
                masks=masks,
                sigma_y=self.sigma_y,
                convert=self.convert,
                value_range=self.value_range,
                strict=self.strict,
                invert_masks=self.invert_masks,
                key=self.key if file.suffix.lower() == ".npz" else None,
            )
            return observed if row is None else observed.take([row]), None
        data = inputs.opened(
            file,
            prior,
            convert=self.convert,
            fit=None,
            value_range=self.value_range,
            strict=self.strict,
            problem=self.problem,
            key=self.key,
        )
        truth = data[row or 0][None]
        takes_whole(self.problem.operator(truth, Noise([0])), tuple(prior.signal_shape))
        return self.problem.draw(truth, Noise([mix(self.seed, 4, i)])), truth


def on_tiles(method: Method, prior: Tiled) -> Method:
    """The method for one picture: an h-transform that has a size of its own works on tiles, any
    other on the whole picture. Raises `InvalidInput` for particles.
    """
    if method.sampler.signals(1) > 1:
        raise InvalidInput(
            "--method",
            given=type(method.sampler).__name__,
            expected="a method that draws one sample at a time, for pictures larger than the prior",
            advice="use --fit resize, or another method",
        )
    h = method.h_transform
    if h is None or getattr(h, "event_shape", None) is None:
        return method
    tiles = prior.tiles
    return replace(
        method,
        h_transform=TiledHTransform(
            h,
            prior.event_shape,
            overlap=tiles.overlap,
            batch=tiles.batch,
            layout=tiles.layout,
        ),
    )
