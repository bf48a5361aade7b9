"""What one value of a card may be: types, ranges and sizes.

A field checks a value and says in words what it expected, so that a card out of a file is refused
with one line. Lists and objects are in `deft.storage.compound_fields`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from deft.errors import InvalidInput

DEEPEST = 32  # nested lists and objects on a card
LONGEST = 4_000  # characters of one text


class Field(ABC):
    """What one value of a card may be."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is expected."""

    @abstractmethod
    def fits(self, value: object) -> bool:
        """Whether a value is of the right kind and size."""

    def check(self, where: str, value: object) -> None:
        """Raise `InvalidInput` where it is not."""
        if not self.fits(value):
            raise InvalidInput(where, given=value, expected=self.words)

    def parts(self) -> Iterator[Field]:
        """The fields within."""
        yield self


@final
@dataclass(frozen=True)
class Whole(Field):
    """A whole number."""

    low: int = -(1 << 40)
    high: int = 1 << 40

    @property
    def words(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def fits(self, value: object) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )


@final
@dataclass(frozen=True)
class Real(Field):
    """A finite number."""

    low: float = -1e30
    high: float = 1e30

    @property
    def words(self) -> str:
        return f"a number between {self.low:g} and {self.high:g}"

    def fits(self, value: object) -> bool:
        return (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )


@final
@dataclass(frozen=True)
class Flag(Field):
    """True or false."""

    words = "true or false"

    def fits(self, value: object) -> bool:
        return isinstance(value, bool)


@final
@dataclass(frozen=True)
class Nothing(Field):
    """Null."""

    words = "null"

    def fits(self, value: object) -> bool:
        return value is None


@final
@dataclass(frozen=True)
class Text(Field):
    """A text."""

    longest: int = LONGEST

    @property
    def words(self) -> str:
        return f"a text of at most {self.longest} characters"

    def fits(self, value: object) -> bool:
        return isinstance(value, str) and len(value) <= self.longest


@final
@dataclass(frozen=True)
class Choice(Field):
    """One of a few words."""

    of: tuple[str, ...]

    @property
    def words(self) -> str:
        return " or ".join(map(repr, self.of))

    def fits(self, value: object) -> bool:
        return isinstance(value, str) and value in self.of


@final
@dataclass(frozen=True)
class Function(Field):
    """The dotted path of a function of the user's own: it is imported where the user names its
    module in the call.
    """

    needs: tuple[str, ...] = ()
    words = "the dotted path of a function, module.name"

    def fits(self, value: object) -> bool:
        return (
            isinstance(value, str)
            and len(value) <= 200
            and all(part.isidentifier() for part in value.split("."))
            and "." in value
        )


@final
@dataclass(frozen=True)
class Folder(Field):
    """A folder that would be opened: it is where the user names it in the call."""

    words = "the path of a folder"

    def fits(self, value: object) -> bool:
        return isinstance(value, str) and 0 < len(value) <= LONGEST and "\0" not in value
