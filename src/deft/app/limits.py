"""What one request of the page may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from deft import checks
from deft.errors import MOST, BadImage


@final
@dataclass(frozen=True)
class Limits:
    """The largest file in megabytes, and the most samples, steps and requests that wait."""

    megabytes: float = 32.0
    samples: int = 64
    steps: int = 250
    waiting: int = 4

    def __post_init__(self) -> None:
        checks.positive("megabytes", self.megabytes, "of one file")
        checks.whole("samples", self.samples, most=MOST, meaning="that can be asked for at once")

    @property
    def bytes(self) -> int:
        """The largest file."""
        return round(self.megabytes * 1e6)

    def file(self, path: Path) -> None:
        """Raise `BadImage` for a file that is too large."""
        size = path.stat().st_size
        if size > self.bytes:
            raise BadImage(
                path.name,
                given=f"{size / 1e6:.3g} MB",
                expected=f"at most {self.megabytes:g} MB",
                advice="shrink or cut it first, or start deft app with more --megabytes",
            )

    def numbers(self, samples: object, steps: object, seed: object) -> tuple[int, int, int]:
        """The numbers of a request as whole numbers. Raises `InvalidInput` for others."""
        return (
            checks.whole("samples", samples, most=self.samples, meaning="to draw"),
            checks.whole("steps", steps, most=self.steps, meaning="of the sampler"),
            checks.whole("seed", seed, least=0, most=2**53, meaning="of all samples"),
        )
