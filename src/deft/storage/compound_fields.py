"""What a value of a card with parts may be: lists, objects, nested cards, and any of several.

Each checks what is within by its fields (deft.storage.fields), and says where it stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from deft.errors import InvalidInput
from deft.storage.fields import DEEPEST, LONGEST, Field, Nothing

_MOST_ITEMS = 1 << 20  # of one list


@final
@dataclass(frozen=True)
class Items(Field):
    """A list."""

    of: Field
    least: int = 0
    most: int = _MOST_ITEMS
    product: int | None = None

    @property
    def words(self) -> str:
        count = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        whole = f", whose product is at most {self.product}" if self.product else ""
        return f"a list of {count}, each {self.of.words}{whole}"

    def fits(self, value: object) -> bool:
        if not isinstance(value, (list, tuple)) or not self.least <= len(value) <= self.most:
            return False
        return all(map(self.of.fits, value)) and (
            self.product is None or math.prod(value) <= self.product
        )

    def check(self, where: str, value: object) -> None:
        if isinstance(value, (list, tuple)) and self.least <= len(value) <= self.most:
            for i, item in enumerate(value):
                self.of.check(f"{where}[{i}]", item)
        super().check(where, value)

    def parts(self) -> Iterator[Field]:
        yield self
        yield from self.of.parts()


@final
@dataclass(frozen=True)
class Part(Field):
    """An object of one of these kinds, as a card of its own."""

    kinds: tuple[str, ...]

    @property
    def words(self) -> str:
        return f'a {" or ".join(self.kinds)}, as {{"class": NAME, "args": {{...}}}}'

    def fits(self, value: object) -> bool:
        return isinstance(value, Mapping)


@final
@dataclass(frozen=True)
class OneOf(Field):
    """Any of several."""

    fields: tuple[Field, ...]

    @property
    def words(self) -> str:
        return ", or ".join(field.words for field in self.fields)

    def fits(self, value: object) -> bool:
        return any(field.fits(value) for field in self.fields)

    def check(self, where: str, value: object) -> None:
        others = [field for field in self.fields if not isinstance(field, Nothing)]
        if value is not None and len(others) == 1:
            others[0].check(where, value)  # says what is wrong within
        super().check(where, value)

    def parts(self) -> Iterator[Field]:
        for field in self.fields:
            yield from field.parts()


@final
@dataclass(frozen=True)
class Plain(Field):
    """Numbers, texts, lists and objects that are shown and never built: at most `DEEPEST` deep."""

    words = (
        f"numbers, texts, lists and objects, at most {DEEPEST} deep, each text of at most "
        f"{LONGEST} characters"
    )

    def fits(self, value: object) -> bool:
        return _is_plain(value, DEEPEST)


@final
@dataclass(frozen=True)
class Object(Field):
    """An object with these names: each has a field; `open` allows others, of plain values."""

    fields: Mapping[str, Field]
    needed: tuple[str, ...] = ()
    open: bool = False

    @property
    def words(self) -> str:
        return f"an object with {', '.join(self.fields) or 'plain values'}"

    def fits(self, value: object) -> bool:
        try:
            self.check("", value)
        except InvalidInput:
            return False
        return True

    def check(self, where: str, value: object) -> None:
        if not isinstance(value, Mapping) or not all(
            isinstance(name, str) and len(name) <= 200 for name in value
        ):
            raise InvalidInput(where or "the card", given=value, expected=self.words)
        for name in self.needed:
            if name not in value:
                raise InvalidInput(
                    _inside(where, name), given="nothing", expected=self.fields[name].words
                )
        for name, item in value.items():
            if name not in self.fields and not self.open:
                raise InvalidInput(
                    _inside(where, name), given=item, expected=f"one of {', '.join(self.fields)}"
                )
            self.fields.get(name, Plain()).check(_inside(where, name), item)


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _is_plain(value: object, depth: int) -> bool:
    if depth < 0:
        return False
    if isinstance(value, str):
        return len(value) <= LONGEST
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, (int, float)):
        return -1e30 <= value <= 1e30
    if isinstance(value, Mapping):
        return all(
            isinstance(k, str) and len(k) <= LONGEST and _is_plain(v, depth - 1)
            for k, v in value.items()
        )
    return (
        isinstance(value, (list, tuple))
        and len(value) <= _MOST_ITEMS
        and all(_is_plain(item, depth - 1) for item in value)
    )
