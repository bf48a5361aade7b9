"""Wrong commands about measurements as people have them; part of the table in `rows.py`."""

from __future__ import annotations

from tests.bad_input.row import MEASURED, SAMPLE, TRAIN, Row

OBSERVATION_ROWS: dict[str, list[Row]] = {
    "observations": [
        Row(
            TRAIN,
            "--problem JPEG --problem.masks box",
            ("--problem", "expected an argument of JPEG, not masks: quality, chroma"),
        ),
        Row(
            TRAIN.replace("Inpainting --problem.masks box", "JPEG"),
            "--problem.quality 0",
            ("--problem.quality", "got 0", "a whole number from 1 to 100"),
        ),
        Row(
            TRAIN.replace("Inpainting --problem.masks box", "Colourisation"),
            "--problem.weights [0,0,0]",
            ("--problem.weights", "got (0.0, 0.0, 0.0)", "three numbers >= 0 with a sum > 0"),
        ),
        Row(
            TRAIN.replace("Inpainting --problem.masks box", "MultiCoilMRI"),
            "--problem.coils 0",
            ("--problem.coils", "got 0", "a whole number from 1 to 64"),
        ),
        Row(
            SAMPLE,
            "--slice axial:1",
            ("--slice", "got axial:1", "nothing: it is not used without a NIfTI file"),
        ),
        Row(
            MEASURED,
            "--sigma_y {w}/nowhere.npy",
            ("--sigma_y: got {w}/nowhere.npy", "an npy file that exists"),
        ),
    ],
}
