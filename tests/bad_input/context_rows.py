"""Wrong commands about what a prior is told beside x_t, and about details of its files."""

from __future__ import annotations

from tests.bad_input.row import (
    ADAPT,
    BANK,
    CONFORMAL,
    DEMO,
    EVALUATE,
    SAMPLE,
    SERVE,
    TRAIN,
    Row,
)

NOWHERE = "--context {w}/nowhere.safetensors"
NOT_THERE = ("--context: got {w}/nowhere.safetensors", "a safetensors file", "that exists")
CONTEXT_ROWS: dict[str, list[Row]] = {
    "contexts": [
        Row(
            TRAIN,
            "--prior {w}/d_prompt",
            (
                "--context: got nothing",
                "d_prompt is told beside x_t: encoder_hidden_states (any, 12)",
                "Give --context FILE.safetensors with these tensors",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_prompt --context {w}/context_width.safetensors",
            ("encoder_hidden_states", "got numbers of shape (1, 5, 11)", "(any, 12)"),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_prompt --context {w}/context_cut.safetensors",
            ("--context", "{w}/context_cut.safetensors, which cannot be read"),
        ),
        Row(
            TRAIN,
            "--context {w}/context.safetensors",
            ("encoder_hidden_states", "nothing: tiny is unconditional"),
        ),
        Row(TRAIN, "--context {w}/images", ("--context: got {w}/images", "a safetensors file")),
        Row(SAMPLE, NOWHERE, NOT_THERE),
        Row(EVALUATE, NOWHERE, NOT_THERE),
        Row(ADAPT, NOWHERE, NOT_THERE),
        Row(BANK, NOWHERE, NOT_THERE),
        Row(CONFORMAL, NOWHERE, NOT_THERE),
        Row(DEMO, NOWHERE, NOT_THERE),
        Row(SERVE, NOWHERE, NOT_THERE),
    ],
    "details of folders": [
        Row(
            TRAIN,
            "--prior {w}/diffusers --details.num_heads 2",
            ("--details.num_heads: got 2", "{w}/diffusers is a folder of diffusers"),
        ),
        Row(
            TRAIN,
            "--prior {w}/diffusers --details.image_size 15",
            ("sample_size", "a height and width that the network can take"),
        ),
        Row(
            TRAIN,
            "--prior {w}/diffusers --details.value_range [1,0]",
            ("--details.value_range", "finite, with low < high"),
        ),
        Row(BANK, "--details.num_heads 4", ("--details", "{w}/tiny.safetensors is no file of")),
        Row(CONFORMAL, "--details.num_heads 4", ("--details", "is no file of weights")),
        Row(SERVE, "--details.num_heads 4", ("--details", "is no file of weights")),
        Row(
            SAMPLE,
            "--h {w}/cards/details.safetensors",
            ("{w}/cards/details.safetensors: card.prior_options.details.num_heads", "got -3"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/subfolder.safetensors --subfolder unet",
            ("--subfolder: got unet", "expected unet_ema, which", "Leave --subfolder out"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/subfolder.safetensors",
            ("--subfolder", "got unet_ema", "nothing: {w}/tiny.safetensors is a file"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/context.safetensors",
            (
                "{w}/cards/context.safetensors: prior_context.class_labels",
                "nothing: tiny is unconditional",
            ),
        ),
    ],
}
