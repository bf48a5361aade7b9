"""What the options of `deft sample` say of themselves."""

from __future__ import annotations

from deft.commands import faster, inputs, priors, tiles
from deft.commands import functionals as own

HELP = {
    "out": "where samples go; the same command goes on from what is there",
    "h": "a learned h-transform: the run folder of deft train, its h.safetensors, or the name of "
    "one that ships (deft list) or lies in a folder of $DEFT_WEIGHTS, or a hub id, owner/name",
    "method": "in place of --h, another method: Unconditional, DPS, DDNMPlus, Given (deft list "
    "--kind methods)",
    "prior": "as in deft train; default: the one on the card of --h",
    "problem": "default: the one on the card of --h",
    "measurements": "what was measured: an npy or npz file, or a folder of npy files or images; "
    "k-space is complex, (height, width) or (coils, height, width) (docs/mri.md)",
    "masks": "for inpainting: pictures with the names of the measurements, or one for all; white "
    "(or opaque) where observed; for k-space which frequencies are measured, or (width,) which "
    "columns (default: what is not exactly 0)",
    "sensitivities": "for k-space of several coils: an npy file, complex (coils, height, width)",
    "fft": "how k-space was made of the image: centred, fftshift(fft2(ifftshift(x))); shifted, "
    "fftshift(fft2(x)); corner, fft2(ifftshift(x)); plain, fft2(x) (default: centred)",
    "invert_masks": "take what is black (or transparent) in --masks for observed",
    "sigma_y": "the standard deviation of the noise in --measurements, in the prior's range; "
    "default: the problem's; 'estimate' finds it from them; an npy file of their shape gives one "
    "for each entry",
    "images": "in place of --measurements: clean images, which are measured first",
    "samples": "per image",
    "sampler": "default: DPMSolver with --steps",
    "steps": "evaluations of the prior per sample, for the default sampler (default: 20)",
    "limit": "the first few images only",
    "functionals": f"{own.HELP}; those that deft conformal calibrated",
    "batch_size": "signals, or tiles, denoised at once; changes no result",
    "allow": priors.ALLOW_HELP,
    **tiles.HELP,
    **faster.HELP,
    **priors.HELP,
    **inputs.IMAGE_HELP,
}
