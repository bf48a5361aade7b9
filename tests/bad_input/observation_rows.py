"""Wrong commands about measurements as people have them; part of the table in `rows.py`."""

from __future__ import annotations

from tests.bad_input.row import (
    ADAPT,
    ALARM,
    BANK,
    COILS,
    CONFORMAL,
    DISTIL,
    EVALUATE,
    MAPS,
    MEASURED,
    SAMPLE,
    SCAN,
    TRAIN,
    Row,
)

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
    "k-space": [
        Row(
            MAPS,
            "--measurements {w}/scans/k_magnitudes.npy",
            (
                "--measurements {w}/scans/k_magnitudes.npy",
                "got float32 values of shape (6, 16, 16)",
                "complex (coils, height, width)",
                "magnitudes have lost the phase",
            ),
        ),
        Row(
            MAPS,
            "--measurements {w}/scans/k_small.npy",
            ("--measurements", "images in [-1, 1]", "--value_range [-1,1] takes them as they are"),
        ),
        Row(
            MAPS,
            "--measurements {w}/scans/k_zero.npy",
            ("k_zero.npy", "got k-space that is 0 everywhere"),
        ),
        Row(
            MAPS,
            "--measurements {w}/scans/k_nan.npy",
            ("k_nan.npy", "numbers that are NaN or infinite", "0 where nothing is measured"),
        ),
        Row(
            MAPS,
            "--measurements {w}/scans/k_large.npy",
            ("k_large.npy", "got 32 x 32", "16 x 16, the size of the signals", "take its middle"),
        ),
        Row(
            MAPS,
            "--measurements {w}/scans/k_plain.npy",
            ("--fft", "strongest in the middle", "--fft plain"),
        ),
        Row(
            MAPS,
            "--measurements {w}/scans/k_shifted.npy",
            ("--fft", "of the power of k-space unexplained", "Say --fft shifted"),
        ),
        Row(
            MAPS,
            "--measurements {w}/scans/k.npy --fft odd",
            ("--fft", "got odd", "centred, shifted, corner"),
        ),
        Row(
            MAPS,
            "--measurements {w}/scans/k_small.npy --value_range [0,1e-5]",
            ("--value_range", "[-a, a] for a prior of [-b, b]"),
        ),
        Row(
            MAPS,
            "--measurements {w}/two",
            ("{w}/two holds no measurements (.npy, .npz)",),
        ),
        Row(
            MAPS,
            "--measurements {w}/photo.png",
            ("--measurements", "got {w}/photo.png", "complex numbers"),
        ),
        Row(
            MAPS,
            "--measurements {w}/scans/k.npy --convert grey",
            ("--convert", "not used with k-space"),
        ),
    ],
    "coils": [
        Row(
            SCAN,
            "--measurements {w}/scans/k.npy",
            ("--sensitivities", "got nothing", "the sensitivities of the 6 coils"),
        ),
        Row(
            COILS,
            "--sensitivities {w}/scans/maps_five.npy",
            ("--sensitivities", "got 5 coils", "6, as many as k-space has"),
        ),
        Row(
            COILS,
            "--sensitivities {w}/scans/maps_small.npy",
            ("--sensitivities", "got 8 x 8", "16 x 16, the size of the signals"),
        ),
        Row(
            COILS,
            "--sensitivities {w}/scans/maps_zero.npy",
            ("--sensitivities", "got sensitivities that are 0 everywhere"),
        ),
        Row(
            COILS,
            "--sensitivities {w}/scans/maps_nan.npy",
            ("--sensitivities", "numbers that are NaN or infinite"),
        ),
        Row(
            COILS,
            "--sensitivities {w}/scans/maps_real.npy",
            ("--sensitivities", "got float32 values of shape (6, 16, 16)", "s.astype(complex)"),
        ),
        Row(
            COILS,
            "--sensitivities {w}/scans/maps_three.npy",
            ("--sensitivities", "got 3 sets of sensitivities", "one for all, or 1"),
        ),
        Row(
            COILS,
            "--sensitivities {w}/scans/maps_turned.npy",
            ("unexplained", "in the order of its coils, not conjugated"),
            status=0,
        ),
        Row(
            COILS,
            "--sensitivities {w}/scans/several.npz",
            ("--sensitivities", "which holds several arrays", "an npz file of one array"),
        ),
        Row(
            COILS + " --sensitivities {w}/scans/maps.npy",
            "--masks {w}/scans/lines_short.npy",
            ("the mask {w}/scans/lines_short.npy", "got 16 x 8", "16 x 16"),
        ),
        Row(
            COILS.replace("MultiCoilMRI", "MRI"),
            "--sensitivities {w}/scans/maps.npy",
            ("--sensitivities", "nothing: the problem MRI has a single coil"),
        ),
        Row(
            MEASURED,
            "--sensitivities {w}/scans/maps.npy",
            ("--sensitivities", "nothing: Inpainting measures no frequencies"),
        ),
    ],
    "volumes": [
        Row(
            TRAIN,
            "--slice axial:1",
            ("--slice", "got axial:1", "is no NIfTI file, nor a folder of them"),
        ),
        Row(
            EVALUATE,
            "--slice axial:1",
            ("--slice", "got axial:1", "is no NIfTI file, nor a folder of them"),
        ),
        Row(
            ADAPT,
            "--slice axial:1",
            ("--slice", "got axial:1", "is no NIfTI file, nor a folder of them"),
        ),
        Row(
            BANK,
            "--slice axial:1",
            ("--slice", "got axial:1", "is no NIfTI file, nor a folder of them"),
        ),
        Row(
            ALARM,
            "--slice axial:1",
            ("--slice", "got axial:1", "is no NIfTI file, nor a folder of them"),
        ),
        Row(
            CONFORMAL,
            "--slice axial:1",
            ("--slice", "got axial:1", "is no NIfTI file, nor a folder of them"),
        ),
        Row(
            DISTIL,
            "--slice axial:1",
            ("--slice", "got axial:1", "is no NIfTI file, nor a folder of them"),
        ),
        Row(
            TRAIN.replace("{w}/images", "{w}/volumes"),
            "--slice axial:7",
            ("--slice", "got axial:7", "axial slices from 0 to 4"),
        ),
        Row(
            TRAIN.replace("{w}/images", "{w}/volumes"),
            "",
            ("--slice", "got nothing", "16 sagittal, 16 coronal, 5 axial"),
        ),
        Row(
            TRAIN.replace("{w}/images", "{w}/volumes"),
            "--slice axial --value_range [0,10]",
            ("the values are in", "the range that was said is [0, 10]"),
        ),
        Row(
            TRAIN.replace("{w}/images", "{w}/volumes"),
            "--slice axial --fit resize",
            ("--fit", "got resize", "NIfTI, whose values are taken as they are"),
        ),
        Row(
            SAMPLE.replace("{w}/two", "{w}/volumes"),
            "--slice axial:1 --overlap 4",
            ("--overlap", "got 4", "not used with NIfTI, whose slices are not drawn by tiles"),
        ),
    ],
    "options of a class": [
        Row(
            "train --prior {w}/tiny.safetensors --images {w}/images --out out",
            "--problem.sigma_y 0.05 --problem Denoising",
            (
                "--problem",
                "got an option of --problem before it",
                "the name of a class first",
                "Say --problem NAME before --problem.OPTION",
            ),
        ),
        Row(
            SAMPLE,
            "--fft plain",
            ("--fft", "got plain", "nothing: it is not used with --images"),
        ),
        Row(
            SAMPLE,
            "--sensitivities {w}/scans/maps.npy",
            ("--sensitivities", "nothing: it is not used with --images"),
        ),
    ],
}
