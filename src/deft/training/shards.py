"""The entries of a bank in a folder: one growing npy file in shards of `SHARD` entries, each sealed
by a hash.

    bank.npy     the entries, appended and flushed
    bank.json
        {"format": 2, "card": ..., "done": entries that count, "shards": the SHA-256 of each shard,
            the first with the file's header, "sha256": that of all this}

The card is replaced after the entries, so that what it counts is on the disk. A shard is verified
when it is first read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any, final

import numpy as np

from deft.errors import CheckpointError, DeftError
from deft.storage.atomic import atomic
from deft.storage.bounded_json import parsed
from deft.storage.claims import differences
from deft.storage.compound_fields import Items, Object, Plain
from deft.storage.fields import Text, Whole
from deft.storage.fingerprint import fingerprint
from deft.storage.tensors import refusal
from deft.training.entries import MOST_ENTRIES, check_room, entry_type

FORMAT = 2
SHARD = 1024
_OWN = Object(
    {
        "format": Whole(1),
        "evaluations": Whole(1, MOST_ENTRIES),
        "event_shape": Items(Whole(1, 1 << 24), 1, 8, product=1 << 28),
        "prior": Object({}, open=True),
        "times": Plain(),
        "seed": Whole(-(1 << 63), 1 << 64),
        "data": Object({}, open=True),
        "noise": Text(40),
    },
    ("evaluations", "event_shape", "prior"),
    open=True,
)
CARD = Object(
    {
        "format": Whole(1),
        "card": _OWN,
        "done": Whole(0, MOST_ENTRIES),
        "shards": Items(Text(64)),
        "sha256": Text(64),
    },
    ("format", "card", "done", "shards", "sha256"),
)
"""What `bank.json` may hold."""


@final
class Shards:
    """The entries of a bank, as an array that is read by index; `append` where it still grows."""

    def __init__(
        self, folder: Path, card: dict[str, Any], done: int, digests: list[str] | None
    ) -> None:
        self.folder, self.path, self.card, self.done, self.digests = (
            folder,
            folder / "bank.npy",
            card,
            done,
            digests,
        )
        self.type = entry_type(card["event_shape"])
        self.head = _header(self.type, card["evaluations"])
        self._verified: set[int] = set()
        self._open = hashlib.sha256()  # of the shard that still grows

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """The entries in a folder. Raises `CheckpointError` where the card or the file's header is
        damaged.
        """
        found = cls(folder, *_read(folder))
        expected = len(found.head) + found.done * found.type.itemsize
        try:
            with open(found.path, "rb") as file:
                head, size = file.read(len(found.head)), os.fstat(file.fileno()).st_size
        except OSError as error:
            raise CheckpointError(
                f"{found.path} is missing or damaged ({error.strerror or error}); delete the "
                "folder and build the bank again."
            ) from error
        if size < expected:
            raise CheckpointError(
                f"{found.path} is truncated ({size} bytes, {expected} expected); delete {folder} "
                "and build the bank again."
            )
        if head != found.head:
            raise CheckpointError(
                f"{found.path} is damaged: its header is another one; delete {folder} and build "
                "the bank again."
            )
        return found

    @classmethod
    def grow(cls, folder: Path, card: dict[str, Any]) -> Shards:
        """A bank that is begun, or gone on with. Raises `CheckpointError` where the folder holds
        another one, or a damaged one.
        """
        ours = json.loads(json.dumps(card))
        if not (folder / "bank.json").exists():
            begun = cls(folder, ours, 0, [])
            check_room(begun.card["evaluations"], begun.card["event_shape"], folder)
            begun._write(0, begun.head)
            begun._say()
            return begun
        found = cls.open(folder)
        different = _different(ours, found.card)
        if different:
            raise CheckpointError(
                f"{folder} holds another bank: {'; '.join(different)}. Give another folder, or "
                "delete that one."
            )
        found._go_on()
        return found

    def __len__(self) -> int:
        return self.done

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """The entries at these places; their shards are verified first."""
        for shard in sorted(set((np.asarray(index) // SHARD).tolist()) - self._verified):
            self._verify(shard)
        return np.array(self._entries()[index])

    def append(self, entries: np.ndarray) -> None:
        """Add entries at the end, and count them. Raises `CheckpointError` where the disk
        refuses.
        """
        self._write(len(self.head) + self.done * self.type.itemsize, entries.tobytes())
        self._take_in(entries)
        self.done += len(entries)
        self._say()

    def _entries(self) -> np.ndarray:
        return np.memmap(self.path, self.type, "r", len(self.head), (self.done,))

    def _verify(self, shard: int) -> None:
        if self.digests is not None and (
            shard >= len(self.digests) or self._digest(shard).hexdigest() != self.digests[shard]
        ):
            raise CheckpointError(
                f"{self.path} is damaged: the entries from {shard * SHARD} do not have the hash "
                f"that they were written with; delete {self.folder} and build "
                "the bank again."
            )
        self._verified.add(shard)

    def _digest(self, shard: int):  # type: ignore[no-untyped-def]
        digest = hashlib.sha256(self.head if shard == 0 else b"")
        digest.update(self._entries()[shard * SHARD : (shard + 1) * SHARD].tobytes())
        return digest

    def _go_on(self) -> None:
        """Verify the shard that still grows, and take its hash up again; a bank of version 0.1 gets
        its hashes now.
        """
        if self.digests is None:
            self.digests = [self._digest(k).hexdigest() for k in range(-(-self.done // SHARD))]
        if self.done % SHARD or not self.done:
            last = self.done // SHARD
            if self.done:
                self._verify(last)
            self._open = self._digest(last) if self.done else hashlib.sha256(self.head)
            del self.digests[last:]

    def _take_in(self, entries: np.ndarray) -> None:
        """The hashes of the shards that entries at the end belong to."""
        assert self.digests is not None
        if self.done == 0:
            self._open = hashlib.sha256(self.head)
        start = 0
        while start < len(entries):
            room = SHARD - (self.done + start) % SHARD
            part = entries[start : start + room]
            self._open.update(part.tobytes())
            start += len(part)
            if len(part) == room:
                self.digests.append(self._open.hexdigest())
                self._open = hashlib.sha256()

    def _write(self, place: int, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with open(self.path, "r+b" if self.path.exists() else "wb") as file:
                file.seek(place)
                file.write(content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CheckpointError(refusal(self.path, error)) from error

    def _say(self) -> None:
        assert self.digests is not None
        whole = [*self.digests, *([self._open.hexdigest()] if self.done % SHARD else [])]
        try:
            with atomic(self.folder / "bank.json") as file:
                file.write(
                    _sealed(
                        {"format": FORMAT, "card": self.card, "done": self.done, "shards": whole}
                    )
                )
        except OSError as error:
            raise CheckpointError(refusal(self.folder / "bank.json", error)) from error


def _header(entries: np.dtype, count: int) -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head,
        {"descr": np.lib.format.dtype_to_descr(entries), "fortran_order": False, "shape": (count,)},
    )
    return head.getvalue()


def _different(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    return [difference.was for difference in differences(theirs, ours)]


def _sealed(content: dict[str, Any]) -> bytes:
    return json.dumps({**content, "sha256": fingerprint(content)}, indent=1).encode()


def _read(folder: Path) -> tuple[dict[str, Any], int, list[str] | None]:
    """Card, number of entries, and hashes; None for a bank of version 0.1, which has none."""
    path = folder / "bank.json"
    again = "delete the folder and build the bank again"
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} holds no bank: {path} does not exist.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from error
    try:
        found = parsed(text, str(path))
        if isinstance(found, dict) and "card" not in found and found.get("format") == 1:
            _OWN.check("card", {name: value for name, value in found.items() if name != "done"})
            Whole(0, found["evaluations"]).check("done", found.get("done"))
            return (
                {name: value for name, value in found.items() if name != "done"},
                found["done"],
                None,
            )
        CARD.check("", found)
    except DeftError as error:
        raise CheckpointError(
            f"{path} is damaged: {error.what}",
            given=error.given,
            expected=error.expected,
            advice=again,
        ) from error
    assert isinstance(found, dict)
    seal = found.pop("sha256")
    if seal != fingerprint(found) or text != _sealed(found):
        raise CheckpointError(
            f"{path} is damaged: it does not have the hash that it was written with", advice=again
        )
    if found["format"] != FORMAT or found["done"] > found["card"]["evaluations"]:
        raise CheckpointError(f"{path} is no card of a bank that this version can read.")
    return found["card"], found["done"], found["shards"]
