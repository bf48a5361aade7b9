"""Rows of checkpoints of Genie; part of the table in `rows.py`."""

from __future__ import annotations

from tests.bad_input.row import TRAIN, Row

_GENIE = "--prior {w}/genie/w.ckpt"
_SAID = "--details.config {w}/genie/said"

GENIE_ROWS: dict[str, list[Row]] = {
    "backbone checkpoints": [
        Row(
            TRAIN,
            _GENIE,
            ("w.ckpt: got weights alone", "also maximumNumResidues", "--details.config"),
        ),
        Row(
            TRAIN,
            f"{_GENIE} --details.config {{w}}/genie/other",
            ("genie/other: ipaNumHeads: got 4; expected 3, as the weights of", "w.ckpt say"),
        ),
        Row(
            "inspect {w}/genie/w.ckpt",
            "--details.config {w}/genie/other",
            ("genie/other: ipaNumHeads: got 4; expected 3",),
        ),
        Row(
            TRAIN,
            f"{_GENIE} --details.config {{w}}/tiny.safetensors",
            ("tiny.safetensors: got a", "expected a configuration of Genie"),
        ),
        Row(
            TRAIN,
            f"{_GENIE} --details.config {{w}}/genie/nowhere",
            ("details.config: got {w}/genie/nowhere", "a configuration of Genie that exists"),
        ),
        Row(
            TRAIN,
            f"{_GENIE} {_SAID} --schedule linear",
            ("--schedule: got linear; expected nothing", "whose configuration says"),
        ),
        Row(
            TRAIN,
            f"{_GENIE} {_SAID} --prediction_type sample",
            ("--prediction_type: got sample; expected nothing",),
        ),
        Row(
            TRAIN,
            f"{_GENIE} {_SAID} --details.image_size 32",
            ("--details.image_size: got 32; expected nothing",),
        ),
        Row(
            TRAIN,
            f"--prior {{w}}/genie/less.ckpt {_SAID}",
            ("less.ckpt", "missing 1: structure_net.net.1.bb_update.linear.bias (6,)"),
        ),
        Row(TRAIN, "--prior {w}/genie/2.ckpt", ("weights of Genie 2", "CallableBackbone")),
        Row(TRAIN, "--prior {w}/genie/cut.ckpt", ("genie/cut.ckpt is truncated: 20000 bytes",)),
        Row(TRAIN, f"{_GENIE} {_SAID}", ("{w}/images: got no chain", "coords and lengths")),
    ],
}
