"""A bank of prior evaluations.

    (x_0, t, eps) -> x_t = alpha_t x_0 + sigma_t eps,  x_0_hat = E[x_0 | x_t]

None of it depends on the measurement: the observation of a signal is drawn afresh at every use. An
h-transform can therefore be trained without evaluating the prior at all, as often and for as many
problems as one likes.

An entry holds x_0, t, the seed of eps, and the error (x_0_hat - x_0) / r_t in half precision: the
error is of order one at every noise level (r_t as in deft.training.denoising), so that half
precision costs 5e-4 of it, whereas x_0_hat itself would lose everything at low noise. x_0 is
rounded before the prior is evaluated.

A bank in a folder is kept in shards, each with a hash that is verified when the shard is first read
(deft.training.shards).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from deft.errors import CheckpointError, InvalidInput, room_for
from deft.noise import Noise, as_seed, mix
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.priors.identity import same_identity
from deft.storage.lock import locked
from deft.training.batch import Batch
from deft.training.denoising import TimeLaw, noised, noisy
from deft.training.entries import entry_type
from deft.training.shards import Shards
from deft.training.sources import Images, Order, Source

_FORMAT = 1


@final
class Bank(Source):
    """Stored prior evaluations, in memory or in a folder (`bank.npy` and its card `bank.json`): a
    source of batches for `train`.
    """

    def __init__(self, entries: np.ndarray | Shards, prior: Prior, card: dict[str, Any]) -> None:
        self.entries, self.prior, self._card = entries, prior, card

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def build(
        cls,
        prior: Prior,
        images: Tensor | Dataset[Any] | Source,
        evaluations: int,
        times: TimeLaw | None = None,
        *,
        seed: int = 0,
        batch_size: int = 64,
        out: str | Path | None = None,
        progress: bool = True,
    ) -> Bank:
        """Evaluate the prior `evaluations` times, on the images in the order in which `train` would
        take them.

        With `out` the bank is written there as it grows; a run that was killed goes on when it is
        started again. Raises `CheckpointError` where the folder holds a bank of another kind, or
        where the disk is full, `OutOfMemory`, and `FolderInUse` where another run builds it.
        """
        if evaluations < 1:
            raise InvalidInput(
                "evaluations",
                given=evaluations,
                expected="a whole number >= 1, the evaluations that a bank holds",
            )
        seed = as_seed(seed)
        source = images if isinstance(images, Source) else Images(images, prior)
        card = {
            "format": _FORMAT,
            "evaluations": evaluations,
            "event_shape": list(prior.event_shape),
            "prior": prior.identity(),
            "times": asdict(times or TimeLaw()),
            "seed": seed,
            "data": source.card(),
            "noise": Noise.generator,
        }
        with nullcontext() if out is None else locked(out):
            store = Shards.grow(Path(out), card) if out is not None else None
            begin = store.done if store is not None else 0
            with room_for(
                f"{evaluations} evaluations in memory",
                "give a folder `out`, where the bank is read from the disk",
            ):
                kept = np.empty(evaluations if store is None else 0, entry_type(prior.event_shape))
            order = Order(len(source), mix(seed, 8))
            with tqdm(
                total=evaluations,
                initial=begin,
                unit="eval",
                desc="prior",
                disable=not progress,
                dynamic_ncols=True,
            ) as bar:
                for start in range(begin, evaluations, batch_size):
                    places = range(start, min(start + batch_size, evaluations))
                    with room_for(f"batch_size={batch_size}", _smaller(batch_size)):
                        entries = _evaluate(
                            prior,
                            source,
                            [order[k] for k in places],
                            [mix(seed, 9, k) for k in places],
                            times or TimeLaw(),
                        )
                    if store is None:
                        kept[places.start : places.stop] = entries
                    else:
                        store.append(entries)
                    bar.update(len(entries))
        return cls(kept, prior, card) if out is None else cls.open(out, prior)

    @classmethod
    def open(cls, folder: str | Path, prior: Prior) -> Bank:
        """The bank in a folder. Raises `CheckpointError` where it is unfinished, damaged, or was
        made with another prior.
        """
        shards = Shards.open(Path(folder))
        card = shards.card
        theirs, ours = card["prior"], prior.identity()
        different = same_identity(theirs, ours)
        if different or card["event_shape"] != list(prior.event_shape):
            raise CheckpointError(
                f"the bank in {folder} was made with the prior {theirs.get('name')} (hash "
                f"{theirs.get('hash')}); the prior given is {ours['name']} (hash {ours['hash']}): "
                f"{'; '.join(different) or 'other signals'}."
            )
        drawn = card.get("noise", "mt19937")
        if drawn != Noise.generator:
            raise CheckpointError(
                f"the bank in {folder}",
                given=f"evaluations at draws of {drawn}, which this version does not make",
                expected=f"draws of {Noise.generator}",
                advice="build the bank again, in another folder",
            )
        if shards.done < card["evaluations"]:
            raise CheckpointError(
                f"the bank in {folder} holds {shards.done} of {card['evaluations']} evaluations; "
                "call Bank.build again to finish it."
            )
        return cls(shards, prior, card)

    def batch(self, index: Sequence[int], noise: Noise) -> Batch:
        entries = self.entries[np.asarray(index, dtype=np.int64)]
        x_0, error = (
            torch.from_numpy(entries[name].astype(np.float32)).to(noise.device, noise.dtype)
            for name in ("x_0", "error")
        )
        t = torch.from_numpy(entries["t"].copy()).to(noise.device, noise.dtype)
        x_t = noisy(self.prior, x_0, t, Noise(entries["seed"].tolist(), noise.device, noise.dtype))
        alpha_t, sigma_t = self.prior.levels(x_0, t)
        bare = Denoised(x_t, t, alpha_t, sigma_t, x_0)
        return Batch(
            x_0,
            noise.stream(11),
            Denoised(x_t, t, alpha_t, sigma_t, x_0 + bare.spread(self.prior.scale) * error),
        )

    @property
    def data(self) -> dict[str, Any]:
        """The card of the images that it was made of; empty where an early one does not say."""
        return dict(self._card.get("data", {}))

    @property
    def times(self) -> TimeLaw:
        """Where in log-SNR the prior was evaluated."""
        return TimeLaw(**self._card.get("times", {}))

    @staticmethod
    def stored(folder: Path) -> int:
        """How many evaluations a folder holds already; 0 where there is no bank."""
        return Shards.open(folder).done if (folder / "bank.json").exists() else 0

    def card(self) -> dict[str, object]:
        return {"bank": self._card, "fingerprint": self.fingerprint()}


def _evaluate(
    prior: Prior, source: Source, index: list[int], seeds: list[int], times: TimeLaw
) -> np.ndarray:
    batch = source.batch(index, Noise(seeds, prior.device, torch.float32))
    if batch.context:
        raise InvalidInput(
            "a bank",
            given=f"signals with {', '.join(batch.context)} of their own",
            expected="signals of one shape, of which the prior is told nothing",
            advice="train on the signals themselves",
        )
    x_0 = batch.x_0.half().float()
    denoised = noised(prior, times, x_0, batch.noise)
    error = (denoised.x_0_hat - x_0) / denoised.spread(prior.scale)
    entries = np.empty(len(x_0), entry_type(prior.event_shape))
    entries["x_0"], entries["error"] = x_0.cpu().numpy(), error.cpu().numpy()
    entries["t"], entries["seed"] = denoised.t.cpu().numpy(), batch.noise.seeds
    return entries


def _smaller(batch_size: int) -> str:
    """What to do where there is no room for a batch."""
    if batch_size == 1:
        return "one evaluation at a time is the least, so take another device"
    return (
        f"try batch_size={batch_size // 2}, which makes the same bank and goes on with one in a "
        "folder"
    )
