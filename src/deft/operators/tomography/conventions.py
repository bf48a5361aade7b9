"""The conventions of a scan in words; docs/ct.md has them with a picture."""

from __future__ import annotations

import math

from torch import Tensor

from deft.operators.tomography.geometry import Geometry


def text(geometry: Geometry, angles: Tensor) -> str:
    """Lines of a key and its value."""
    height, width, cells = geometry.height, geometry.width, geometry.detectors
    middle = tuple(f"{geometry.middle(n):g}" for n in (height, width, cells))
    needed = math.ceil(2 * geometry.reach / geometry.virtual_spacing - 1e-9)
    lines = {
        "image": f"{height} rows x {width} columns, pixels of {geometry.pixel:g}; row 0 on top "
        "(+Y), column 0 on the left (-X)",
        "sinogram": f"(batch, channels, {angles.shape[-1]} views, {cells} detectors)",
        "rotation centre": f"row {middle[0]}, column {middle[1]}, detector {middle[2]}, counted "
        f"from 0 (centre={geometry.centre!r})",
        "detector": f"cell d at s = (d - {middle[2]}) {geometry.spacing:g} along e = (cos theta, "
        "sin theta) of (X, Y): at 0 degrees cell 0 on the left, at 90 below",
        "cells": f"{cells}; {needed} see the whole image"
        + (" (its diagonal)" if geometry.fan is None else " (the circle around it)"),
        "angles": f"degrees, {_angles(angles)}; they turn counter-clockwise: the detector's end "
        "moves from the right (+X) to the top (+Y)",
        "beam": "parallel, along f = (-sin theta, cos theta)"
        if geometry.fan is None
        else f"fan: the source at -{geometry.fan[0]:g} f, the detector at {geometry.fan[1]:g} f, "
        "f = (-sin theta, cos theta); at 0 degrees the source is below",
        "values": "integrals of x along rays, in the unit of x times that of the pixel's side",
    }
    widest = max(map(len, lines))
    return "\n".join(f"{key:<{widest}}  {value}" for key, value in lines.items())


def _angles(angles: Tensor) -> str:
    if not len(angles):
        return "none"
    row = angles[0].double()
    steps = row.diff()
    of_its_own = " (of the first signal; each has its own)" if len(angles) > 1 else ""
    if len(steps) and bool((steps - steps.mean()).abs().max() < 1e-3):
        return (
            f"{len(row)} views from {row[0]:g} to {row[-1]:g} in steps of "
            f"{steps.mean():g}{of_its_own}"
        )
    return f"{len(row)} views between {row.min():g} and {row.max():g}{of_its_own}"
