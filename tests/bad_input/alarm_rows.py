"""Wrong commands of `deft alarm`, and of what `deft sample` does with its reference."""

from __future__ import annotations

from tests.bad_input.row import ALARM, MEASURED, SAMPLE, WITHOUT, Row

ALARM_ROWS: dict[str, list[Row]] = {
    "alarms": [
        Row(ALARM, "--samples 0", ("--samples", "got 0", "a whole number from 1 to 1,048,576")),
        Row(ALARM, "--steps 0", ("--steps", "got 0", "a whole number from 1 to 1,000,000")),
        Row(ALARM, "--noise_images -1", ("--noise_images", "got -1", "a count >= 0")),
        Row(
            ALARM,
            "--limit 5",
            ("--images", "got 5 images", "19 or more", "larger --limit"),
        ),
        Row(ALARM, "--images {w}/two", ("--images", "got 2 images", "19 or more", "more images")),
        Row(
            ALARM,
            "--out {w}/run",
            ("--out", "got {w}/run", "another folder than that of --h"),
        ),
        Row(ALARM, "--h {w}/nowhere", ("{w}/nowhere does not exist", "no h-transform")),
        Row(
            ALARM,
            "--prior {w}/other.safetensors",
            ("{w}/run/h.safetensors was trained for the prior tiny",),
        ),
        Row(ALARM, "--seed x", ("--seed", "got x", "a whole number")),
        Row(ALARM, "--batch_size 0", ("--batch_size", "got 0", "a whole number from 1")),
        Row(ALARM, "--sampler Huen", ("--sampler", "got Huen")),
        Row(
            ALARM,
            "--h {w}/cards/class.safetensors",
            ("architecture: class", "got evil.H"),
        ),
    ],
    "alarms, more": [
        Row(ALARM, "--convert blue", ("--convert", "got blue", "one of rgb, grey")),
        Row(ALARM, "--fit stretch", ("--fit", "got stretch", "one of resize, crop")),
        Row(ALARM, "--value_range [nan,1]", ("--value_range", "got nan", "a finite number")),
        Row(ALARM, "--window nowhere", ("a window is for CT slices", "{w}/many is neither")),
        Row(ALARM, "--strict 3", ("--strict", "got 3", "true or false")),
        Row(ALARM, "--key a", ("--key", "got a", "Leave --key out")),
        Row(ALARM, "--series 1", ("--series", "got 1", "Leave --series out")),
        Row(ALARM, "--allow no_module", ("--allow", "got no_module", "a module of your own")),
        Row("alarm --config {w}/nowhere.yaml", "", ("--config", "got {w}/nowhere.yaml")),
        Row("alarm --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row(
            ALARM,
            "--h {w}/cards/alarm.safetensors",
            ("{w}/cards/alarm.safetensors: card.alarm.images", "got -3", "a whole number from 1"),
        ),
    ],
    "sigma_y estimated": [
        Row(
            MEASURED,
            "--sigma_y estimate",
            ("--sigma_y", "got estimate", "a range of noise levels", "deft alarm"),
        ),
        Row(MEASURED, "--sigma_y guess", ("--sigma_y", "got guess")),
        Row(
            SAMPLE,
            "--sigma_y estimate",
            ("--sigma_y", "got estimate", "nothing: it is not used with --images"),
        ),
        Row(
            WITHOUT.replace("--images", "--measurements") + " --method DPS --method.steps 2",
            "--sigma_y estimate",
            ("--sigma_y", "got estimate", "nothing: it is not used with --method"),
        ),
    ],
}
