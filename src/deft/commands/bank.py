"""`deft bank`."""

from __future__ import annotations

from pathlib import Path

from deft import checks
from deft.commands import inputs, priors
from deft.commands.inputs import Convert, Fit, Range, Window
from deft.commands.priors import Labels, Names
from deft.commands.training_numbers import check_shares
from deft.errors import InvalidInput
from deft.priors.details import Details
from deft.storage import claims
from deft.studies.words import number
from deft.training.bank import Bank
from deft.training.denoising import TimeLaw
from deft.training.entries import MOST_ENTRIES, check_room
from deft.training.sources import Images

EXAMPLE = "deft bank --prior digits-32 --images FOLDER --size 30000 --out bank"
HELP = {
    "prior": "as in deft train",
    "images": "clean images, as in deft train, which must be given the same ones",
    "size": "evaluations of the prior that are stored; as many as one training would make are "
    "enough for any number of trainings",
    "out": "the bank's folder; the same command goes on from what is there",
    "validation_share": "this share of the images is left out, for deft train to validate with; "
    "the same as there (default: 0.05)",
    "flip": "mirror images at random",
    "times": "where in log-SNR the prior is evaluated, such as --times.mean 0 --times.std 3; "
    "default: TimeLaw()",
    "batch_size": "signals denoised at once; changes no result",
    "allow": priors.ALLOW_HELP,
    **priors.HELP,
    **inputs.IMAGE_HELP,
}


def run(
    prior: str,
    images: Path,
    size: int,
    out: Path,
    validation_share: float = 0.05,
    flip: bool = False,
    times: TimeLaw | None = None,
    seed: int = 0,
    batch_size: int = 64,
    convert: Convert | None = None,
    fit: Fit | None = None,
    value_range: Range | None = None,
    window: Window | None = None,
    strict: bool = False,
    key: str | None = None,
    series: str | None = None,
    slice: str | None = None,
    labels: Labels | None = None,
    subfolder: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    details: Details | None = None,
    context: Path | None = None,
    allow: Names | None = None,
    *,
    resolved: str = "",
) -> None:
    """Evaluate a prior beforehand, so that h-transforms for several problems learn from the same
    evaluations: deft train --bank OUT.

    Writes OUT/bank.npy, OUT/bank.json and OUT/config.yaml. What is finished is kept; the same
    command goes on from there. For priors of images: on chains of protein backbones deft train
    learns without a bank.
    """
    checks.whole(
        "size",
        size,
        most=MOST_ENTRIES,
        meaning="evaluations of the prior that are stored",
        advice="the steps of one training times its batch size are enough",
    )
    checks.whole("batch_size", batch_size, most=1 << 20, meaning="signals denoised at once")
    check_shares(validation_share, None, 0, 0)
    inputs.apart(out, images)
    network = priors.opened(
        prior,
        labels,
        subfolder,
        schedule,
        prediction_type,
        allow=priors.names(allow),
        details=details,
        context=context,
    )
    if network.num_observations != 1:
        expected = "one label for all: a bank holds other images in each batch"
        raise InvalidInput("labels", given=f"{network.num_observations} labels", expected=expected)
    check_room(size, network.event_shape, out, name="size", stored=Bank.stored(out))
    found = inputs.opened(
        images,
        network,
        convert=convert,
        fit=fit,
        value_range=value_range,
        strict=strict,
        window=window,
        key=key,
        series=series,
        slice=slice,
    )
    data, _ = inputs.parted(found, validation_share, seed)
    bank = Bank.build(
        network,
        Images(data, network, flip=flip),
        size,
        times,
        seed=seed,
        batch_size=batch_size,
        out=out,
    )
    claims.keep_yaml(out, resolved)
    print(
        f"{number(len(bank), 'evaluation')} of {network.name} in {out}; train with: deft train "
        f"--prior {prior} --images {images} --bank {out} --problem ... --out run"
    )
