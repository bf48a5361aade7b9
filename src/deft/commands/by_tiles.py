"""`deft sample` of pictures larger than the prior."""

from __future__ import annotations

from pathlib import Path

from deft.commands import inputs, tiles
from deft.commands.inputs import Fit
from deft.commands.tiled_drawing import TiledDrawing, say_once
from deft.noise import mix
from deft.storage import claims
from deft.storage.lock import locked
from deft.studies.method import Method
from deft.studies.words import number


def pieces(
    reader: tiles.Reader,
    images: Path | None,
    measurements: Path | None,
    tile: str,
    fit: Fit | None,
) -> tiles.Pieces | None:
    """What is to be drawn by tiles; None where no picture is larger than the prior, or `tile` says
    that none is drawn so.
    """
    if not tiles.wanted(tile, reader.overlap, reader.layout, fit, reader.prior):
        return None
    found = (
        tiles.of_images(images, reader.prior, reader.key, reader.strict)
        if images is not None
        else tiles.of_measurements(
            measurements,  # type: ignore[arg-type]
            reader.prior,
            reader.problem,
            reader.key,
            reader.strict,
        )
    )
    if found is None:
        inputs.unused(
            "where no picture is larger than the prior",
            overlap=reader.overlap,
            layout=reader.layout,
        )
    return found


def draw(
    out: Path,
    reader: tiles.Reader,
    pieces: tiles.Pieces,
    method: Method,
    samples: int,
    h: Path | None,
    resolved: str,
) -> None:
    """Draw pictures larger than the prior."""
    say_once(pieces, reader)
    seeds = [mix(reader.seed, 5, i) for i in range(len(pieces))]
    drawing = TiledDrawing(out, reader, pieces, method, seeds, samples, h)
    drawing.check()
    with locked(out):
        claims.claim_yaml(
            out, resolved, "deft sample", free=("batch_size", "limit", "config", "out")
        )
        drawing.run()
    print(f"{number(len(pieces), 'image')} x {number(samples, 'sample')} in {out}")
