"""What training draws its batches from: clean signals, or nothing but noise."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import Dataset

from deft.errors import InvalidInput
from deft.noise import Noise, mix
from deft.priors.base import Prior
from deft.storage.fingerprint import of_values
from deft.training.batch import Batch

_LOOKED_AT = 16
_POOL = 32  # batches


class Source(ABC):
    """What training draws its batches from: `len(source)` items, each of which gives a batch
    entry.
    """

    @abstractmethod
    def __len__(self) -> int:
        """The number of items."""

    @abstractmethod
    def batch(self, index: Sequence[int], noise: Noise) -> Batch:
        """The items `index`; `noise` has one seed for each, and all that is drawn for an item comes
        from it.
        """

    @property
    def sizes(self) -> Sequence[int] | None:
        """The size of each item, where a batch is as large as its largest: batches are then of
        items of about one size (`Order`). None where all are alike.
        """
        return None

    def looked_at(self, count: int) -> Tensor | None:
        """The first items as they are looked at, (n, *signal); None where there are none, or codes
        alone.
        """
        return None

    def card(self) -> dict[str, object]:
        """What a resumable run records of its data: a subclass adds what else its batches depend
        on.
        """
        return {"items": len(self), "fingerprint": self.fingerprint()}

    def fingerprint(self) -> str | None:
        """A hash of sixteen items, evenly spaced, in half precision: other data of the same number
        have another.

        None where an item is not the same twice (a data set that draws at random), so that there is
        nothing to compare.
        """
        places = sorted({round(i * (len(self) - 1) / (_LOOKED_AT - 1)) for i in range(_LOOKED_AT)})
        first, second = (
            of_values(self.batch(places, Noise(range(len(places)))).x_0) for _ in range(2)
        )
        return first if first == second else None


@final
class Images(Source):
    """Clean signals: a tensor (n, *event), or a Dataset of tensors or of tuples that begin with
    one.

    A prior with a codec takes what is looked at, which is encoded as it is drawn, or codes.
    `flip` mirrors each signal along its last axis with probability 1/2. Raises `InvalidInput` where
    signals do not fit the prior.
    """

    def __init__(self, images: Tensor | Dataset[Any], prior: Prior, *, flip: bool = False) -> None:
        self.images, self.prior, self.flip = images, prior, flip
        if not len(self):
            raise InvalidInput("there are no images to train on; got an empty data set.")
        self._check(self._item(0))
        looked_at = tuple(self._item(0).shape) == tuple(prior.signal_shape)
        if isinstance(images, Tensor) and looked_at:
            self._check_values(images)
            self._check_not_from_zero(images)
        if flip and not looked_at:
            raise InvalidInput(
                "flip",
                given="codes",
                expected="images: codes have no mirror",
                advice="leave it out",
            )

    def __len__(self) -> int:
        return len(self.images)  # type: ignore[arg-type]

    def batch(self, index: Sequence[int], noise: Noise) -> Batch:
        items = [self._item(int(i)) for i in index]
        if not isinstance(self.images, Tensor):
            for item in items:
                self._check(item)
        x_0 = torch.stack(items).to(noise.device, noise.dtype)
        if self.flip:
            heads = noise.stream(10).uniform(0) < 0.5
            x_0 = torch.where(heads.reshape(-1, *(1,) * (x_0.ndim - 1)), x_0.flip(-1), x_0)
        if self.prior.codec is None or tuple(x_0.shape[1:]) != tuple(self.prior.signal_shape):
            return Batch(x_0, noise.stream(11))
        return Batch(self.prior.encode(x_0), noise.stream(11), seen=x_0)

    def signals(self, count: int) -> Tensor:
        """The first items as they were given: what is looked at, or codes."""
        return torch.stack([self._item(i) for i in range(count)])

    def looked_at(self, count: int) -> Tensor | None:
        found = self.signals(min(count, len(self)))
        return found if tuple(found.shape[1:]) == tuple(self.prior.signal_shape) else None

    def card(self) -> dict[str, object]:
        return {**super().card(), "flip": self.flip}

    def _item(self, i: int) -> Tensor:
        item = self.images[i]
        return item[0] if isinstance(item, (tuple, list)) else item

    def _check(self, item: Tensor) -> None:
        if not isinstance(item, Tensor) or not item.is_floating_point():
            kind = str(item.dtype) if isinstance(item, Tensor) else type(item).__name__
            raise InvalidInput(
                "training takes floating-point tensors in the prior's range "
                f"{self.prior.value_range}; got {kind}; "
                "deft.data.Arrays converts integers, deft.data.ImageFolder reads files."
            )
        if tuple(item.shape) == tuple(self.prior.signal_shape):
            self._check_values(item)
        elif self.prior.codec is None or tuple(item.shape) != tuple(self.prior.event_shape):
            raise InvalidInput(
                f"the images have shape {tuple(item.shape)} and {self.prior.name} takes "
                f"{tuple(self.prior.signal_shape)}; "
                "deft.data.ImageFolder resizes, crops and converts channels on request."
            )

    def _check_values(self, x: Tensor) -> None:
        low, high = float(x.min()), float(x.max())
        if not math.isfinite(low) or not math.isfinite(high):
            raise InvalidInput("the images hold NaN or infinite values.")
        if self.prior.value_range is None:
            return
        least, most = self.prior.value_range
        slack = 0.02 * (most - least)
        if low < least - slack or high > most + slack:
            raise InvalidInput(
                f"the images have values in [{low:g}, {high:g}] and {self.prior.name} takes "
                f"[{least:g}, {most:g}]; "
                "convert them (deft.data.convert_range) first."
            )

    def _check_not_from_zero(self, images: Tensor) -> None:
        low, high = float(images.min()), float(images.max())
        if (
            self.prior.value_range is not None
            and self.prior.value_range[0] < 0 <= low
            and len(images) > 1
        ):
            raise InvalidInput(
                f"no value of {len(images)} images is negative (they are in [{low:g}, {high:g}]) "
                f"and {self.prior.name} takes values in "
                f"{self.prior.value_range}; convert them (deft.data.convert_range) first. A torch "
                "Dataset is taken as it is."
            )


@final
class Draws(Source):
    """No data: each item is noise alone, for an objective that samples what it learns from."""

    def __len__(self) -> int:
        return 1

    def batch(self, index: Sequence[int], noise: Noise) -> Batch:
        return Batch(None, noise)

    def fingerprint(self) -> str | None:
        return None


@final
class Order:
    """Item of the data for sample k: each epoch is a permutation of its own.

    With `sizes`, a batch (`batch` samples from a multiple of it on) holds items of about one size.
    Each `_POOL` batches of a permutation are sorted by size, cut into batches again, and put in
    random order. An item is drawn once in each epoch as before, and is as likely as any other in
    each batch: which items are pooled, and which batch of a pool comes when, is drawn uniformly.
    The samples of a batch that reaches over the end of an epoch stay as they are.
    """

    def __init__(
        self, items: int, seed: int, sizes: Sequence[int] | None = None, batch: int = 1
    ) -> None:
        self.items, self.seed, self.epoch = items, seed, -1
        self.sizes, self.batch = sizes, batch

    def __getitem__(self, k: int) -> int:
        epoch, place = divmod(k, self.items)
        if epoch != self.epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, 5, epoch))
            permutation = torch.randperm(self.items, generator=generator)
            if self.sizes is not None:
                permutation = self._by_size(permutation, -epoch * self.items, generator)
            self.epoch, self.permutation = epoch, permutation.tolist()
        result: int = self.permutation[place]
        return result

    def _by_size(self, permutation: Tensor, first: int, generator: torch.Generator) -> Tensor:
        """The permutation with batches, the first of which begins at `first` modulo a batch, of
        items of about one size.
        """
        found, sizes = permutation.clone(), torch.as_tensor(self.sizes)
        begin = first % self.batch
        whole = (self.items - begin) // self.batch
        for start in range(0, whole, _POOL):
            count = min(_POOL, whole - start)
            part = slice(begin + start * self.batch, begin + (start + count) * self.batch)
            pool = permutation[part]
            batches = pool[sizes[pool].argsort(stable=True)].reshape(count, self.batch)
            found[part] = batches[torch.randperm(count, generator=generator)].flatten()
        return found
