"""What the options of `deft train` say of themselves."""

from __future__ import annotations

from pathlib import Path

from deft.commands import inputs, priors
from deft.priors.base import Prior

HELP = {
    "prior": "a prior that ships (deft list), a file of deft or of another program, a diffusers "
    "folder, a hub id, or the address "
    "of deft serve-prior, http://HOST:PORT",
    "problem": "what is measured: Inpainting, SuperResolution, ... (deft list --kind problems), "
    "or the dotted path of your own",
    "images": "clean images: a folder, or an npy or npz file; CT slices: DICOM or LoDoPaB-CT "
    "files, or HU as npy; for a prior of backbones chains: a folder of PDB or mmCIF files, or an "
    "npz file with coords and lengths (docs/protein.md)",
    "out": "the run's folder; the same command goes on from what is there",
    "validation_images": "held-out images, in the same form as --images",
    "validation_share": "without --validation_images: this share of the images is held out; 0 for "
    "none (default: 0.05)",
    "h_transform": "LearnedHTransform (the default; BackboneHTransform for chains), "
    "PaperHTransform, ConditionalScore, or the dotted path of your own with for_prior(prior, "
    "fraction=...)",
    "fraction": "the h-transform's parameters as a share of the prior's; default: that of its "
    "class, 0.05, and 1 for ConditionalScore",
    "operators": "one (the default): what h reads is for one kind of operator; any: for every "
    "linear one, as of --problem AnyOf",
    "point": "where the prior is asked: x_t, or pivot or matched for linear Gaussian measurements "
    "(default: x_t, and pivot with --operators any)",
    "initial": "start from the weights of this h-transform: a run folder, its h.safetensors, one "
    "that ships (deft list), or the state.safetensors of a run that has not ended",
    "steps": "optimiser steps; a run that has ended or was stopped goes on with more of them, and "
    "a learning rate that begins again",
    "accumulate": "batches per optimiser step",
    "objective": "a class of your own, by its dotted path, that is made from the problem "
    "(default: denoising score matching)",
    "bank": "train on stored evaluations of the prior: the folder of deft bank, or a number, which "
    "are made beforehand; 0: evaluate in every step",
    "per_evaluation": "measurements (masks, kernels, noise) that are drawn for each evaluation of "
    "the prior",
    "patch": "the side of the patches that h reads; twice its usual one is half the resolution",
    "flip": "mirror images at random",
    "validate_every": "optimiser steps between validations; default: a tenth of --steps, or as "
    "rarely as keeps them below a sixth of the training signals",
    "validation_draws": "signals of each validation; default: one per held-out image, at least "
    "256 and at most 512, fewer in short runs",
    "patience": "stop after this many validations without a better loss",
    "slopes": "after training, measure on this many training images (32, say) what the errors of "
    "h still share with x_t, and take it out (deft.Calibrated); 0: leave h as it is",
    "times": "where in log-SNR training happens, such as --times.mean 0 --times.std 3; default: "
    "TimeLaw()",
    "resume": "false starts the run again",
    "allow": priors.ALLOW_HELP,
    **priors.HELP,
    **inputs.IMAGE_HELP,
}


def say_saved(file: Path, prior: Prior, chains: bool) -> None:
    """Where the h-transform is, and what to do with it."""
    if prior.codec is not None:
        print(
            f"the autoencoder leaves {prior.codec.error:.3g} of y out on these images (standard "
            "deviation), which is added to sigma_y"
        )
    then = (
        f"design around a motif with: deft scaffold --h {file} --problem FILE"
        if chains
        else f"draw samples with: deft sample --h {file} --images FOLDER --out FOLDER"
    )
    print(f"saved {file}; {then}")
