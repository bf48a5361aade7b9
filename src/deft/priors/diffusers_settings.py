"""The schedulers of diffusers and their settings, by name: which classes are read, why each other
is not, and which settings change neither the noise schedule nor the prediction.

    READ
        classes whose table of betas says alpha_k^2 = prod_{j <= k} (1 - beta_j);
            they differ in how they sample, not in what the network knows
    REFUSED
        every other class of diffusers, with the reason: another process, another prediction,
            or no diffusion of real numbers at all
"""

from __future__ import annotations

READ = frozenset(
    [
        "DDIMInverseScheduler",
        "DDIMParallelScheduler",
        "DDIMScheduler",
        "DDPMParallelScheduler",
        "DDPMScheduler",
        "DEISMultistepScheduler",
        "DPMSolverMultistepInverseScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSDEScheduler",
        "DPMSolverSinglestepScheduler",
        "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "LMSDiscreteScheduler",
        "PNDMScheduler",
        "RePaintScheduler",
        "SASolverScheduler",
        "UniPCMultistepScheduler",
    ]
)
FLOW = "flow matching (x_t = (1 - t) x_0 + t eps, a velocity), which this adapter does not read yet"
_EDM = "EDM's preconditioned network, which this adapter does not read yet"
_DISCRETE = "tokens, not real numbers"
_DISTILLED = "a distilled network, which does not return the mean of x_0"
REFUSED: dict[str, str] = {
    "AmusedScheduler": _DISCRETE,
    "BlockRefinementScheduler": _DISCRETE,
    "CMStochasticIterativeScheduler": _DISTILLED,
    "CogVideoXDDIMScheduler": "a table with a shifted SNR, for video latents",
    "CogVideoXDPMScheduler": "a table with a shifted SNR, for video latents",
    "ConsistencyDecoderScheduler": _DISTILLED,
    "CosineDPMSolverMultistepScheduler": _EDM,
    "DDPMWuerstchenScheduler": "a cosine schedule in continuous time, for latents",
    "DiscreteDDIMScheduler": _DISCRETE,
    "EDMDPMSolverMultistepScheduler": _EDM,
    "EDMEulerScheduler": _EDM,
    "EntropyBoundScheduler": _DISCRETE,
    "FlowMapEulerDiscreteScheduler": FLOW,
    "FlowMatchEulerDiscreteScheduler": FLOW,
    "FlowMatchHeunDiscreteScheduler": FLOW,
    "FlowMatchLCMScheduler": FLOW,
    "HeliosDMDScheduler": FLOW,
    "HeliosScheduler": FLOW,
    "IPNDMScheduler": "a table of its own without betas",
    "KarrasVeScheduler": _EDM,
    "LCMScheduler": _DISTILLED,
    "LTXEulerAncestralRFScheduler": FLOW,
    "MiniMaxH3Scheduler": FLOW,
    "PiflowScheduler": FLOW,
    "RFD4ProteinaScheduler": "frames of proteins",
    "SCMScheduler": _DISTILLED,
    "ScoreSdeVpScheduler": "the VP process in continuous time, which this adapter does not read "
    "yet",
    "TCDScheduler": _DISTILLED,
    "UnCLIPScheduler": "embeddings, not images",
    "VQDiffusionScheduler": _DISCRETE,
}
"""Why each other class is not read."""

BETAS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)
PREDICTIONS = ("epsilon", "sample", "v_prediction")
FLOWS = ("use_flow_sigmas", "use_dynamic_shifting")
HARMLESS = frozenset(
    [
        "algorithm_type",
        "clip_sample",
        "clip_sample_range",
        "corrector_order",
        "disable_corrector",
        "dynamic_thresholding_ratio",
        "eta",
        "euler_at_final",
        "final_sigmas_type",
        "flow_shift",
        "interpolation_type",
        "lambda_min_clipped",
        "lower_order_final",
        "noise_sampler_seed",
        "num_inference_steps",
        "predict_x0",
        "predictor_order",
        "sample_max_value",
        "set_alpha_to_one",
        "sigma_max",
        "sigma_min",
        "skip_prk_steps",
        "solver_order",
        "solver_p",
        "solver_type",
        "steps_offset",
        "tau_func",
        "tensor_format",
        "thresholding",
        "time_shift_type",
        "timestep_spacing",
        "use_beta_sigmas",
        "use_exponential_sigmas",
        "use_karras_sigmas",
        "use_lu_lambdas",
        "variance_type",
        "original_inference_steps",
        "s_noise",
        "shift_terminal",
        "max_image_seq_len",
        "base_image_seq_len",
        "base_shift",
        "max_shift",
        "trained_prediction",
        "solver_name",
    ]
)
LATENT_BETAS = frozenset(
    [
        "DPMSolverSDEScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
    ]
)  # classes whose table, where a configuration does not say, is that of latent diffusion
OF_VE = frozenset(
    [
        "num_train_timesteps",
        "snr",
        "sigma_min",
        "sigma_max",
        "sampling_eps",
        "correct_steps",
        "tensor_format",
    ]
)
