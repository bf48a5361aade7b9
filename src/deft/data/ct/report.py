"""What a reading of DICOM files left out, and what else there is to say of it, as warnings or as an
error.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from deft.errors import BadImage

OTHER = "other file"
_SHOWN = 5


@final
@dataclass
class Report:
    """What was left out, and what else is to be said, of one reading."""

    path: Path
    strict: bool
    count: int = 0
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)
    first: BadImage | None = None
    """Why the first of those was left out."""

    def leave_out(self, file: Path, what: str) -> None:
        """Raises BadImage with `strict`."""
        if self.strict:
            raise BadImage(
                f"{file}",
                given=what,
                expected="CT slices alone, each once",
                advice="to skip such files: strict=False",
            )
        if what != OTHER:
            self.first = self.first or BadImage(
                f"{file} is {_article(what)}; Hounsfield units are defined for CT slices."
            )
        self.left_out.append((file, what))

    def damaged(self, file: Path, error: BadImage) -> None:
        """Raises the error with `strict`."""
        if self.strict:
            raise error
        self.first = self.first or error
        self.left_out.append((file, "damaged file"))

    def note(self, whose: str) -> Callable[[str], None]:
        """A place for what is to be said of one series."""
        return lambda what: self.said.setdefault(what, []).append(whose)

    def summary(self) -> str:
        """What was left out, counted by kind, with the first names."""
        kinds = Counter(what for _, what in self.left_out)
        names = ", ".join(dict.fromkeys(file.name for file, _ in self.left_out[:_SHOWN])) + (
            ", ..." if len(self.left_out) > _SHOWN else ""
        )
        return f"{', '.join(f'{n} {_plural(what, n)}' for what, n in kinds.items())} ({names})"

    def warn(self) -> None:
        if self.left_out:
            warnings.warn(
                f"{self.path}: skipped {len(self.left_out)} of {self.count} files: "
                f"{self.summary()}.",
                stacklevel=4,
            )
        if self.said:
            lines = [
                f"{what} ({_names(list(dict.fromkeys(whose)))})"
                for what, whose in self.said.items()
            ]
            warnings.warn(f"{self.path}: {'; '.join(lines)}.", stacklevel=4)


def _plural(what: str, n: int) -> str:
    return (
        f"{what}s"
        if n > 1 and what.rpartition(" ")[2] in ("file", "localizer", "capture", "slice")
        else what
    )


def _names(whose: list[str]) -> str:
    more = f" and {len(whose) - 3} more" if len(whose) > 3 else ""
    return f"series {', '.join(whose[:3])}{more}"


def _article(what: str) -> str:
    return what if what.startswith("of ") else f"a {what}"


def nothing(report: Report) -> BadImage:
    """The error of a folder without slices."""
    if report.first is not None and len(report.left_out) == 1:
        return report.first
    if report.first is not None:
        return BadImage(
            f"{report.path} holds no CT slices that can be read, but {report.summary()}; the "
            f"first: {report.first}"
        )
    others = f"; it holds {report.summary()}" if report.left_out else ""
    return BadImage(f"{report.path} holds no DICOM files (.dcm, .ima or without a suffix){others}.")
