"""The schedulers of diffusers and their settings, by name: which classes are read, why each other
is not, and which settings change neither the noise schedule nor the prediction.

    READ
        classes whose table of betas says alpha_k^2 = prod_{j <= k} (1 - beta_j);
            they differ in how they sample, not in what the network knows
    OTHERS
        classes of another process: EDM's levels, flow matching, a cosine in continuous time
    REFUSED
        every other class of diffusers, with the reason: another process, another prediction,
            or no diffusion of real numbers at all
"""

from __future__ import annotations

READ = frozenset(
    [
        "CogVideoXDDIMScheduler",
        "CogVideoXDPMScheduler",
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
        "UnCLIPScheduler",
        "UniPCMultistepScheduler",
    ]
)
EDM_LEVELS = {
    "CosineDPMSolverMultistepScheduler": (0.3, 500.0, 1.0, "exponential", "v_prediction"),
    "EDMDPMSolverMultistepScheduler": (0.002, 80.0, 0.5, "karras", "epsilon"),
    "EDMEulerScheduler": (0.002, 80.0, 0.5, "karras", "epsilon"),
}
"""What each takes where its configuration does not say: sigma_min, sigma_max, sigma_data,
sigma_schedule, prediction_type.
"""
FLOW_MATCHING = frozenset(
    [
        "FlowMatchEulerDiscreteScheduler",
        "FlowMatchHeunDiscreteScheduler",
        "LTXEulerAncestralRFScheduler",
    ]
)
OTHERS = frozenset([*EDM_LEVELS, *FLOW_MATCHING, "IPNDMScheduler", "ScoreSdeVeScheduler"])
_DISCRETE = "tokens, not real numbers"
_DISTILLED = "a distilled network, which does not return the mean of x_0"
_STAGES = "a flow in stages of several resolutions"
REFUSED: dict[str, str] = {
    "AmusedScheduler": _DISCRETE,
    "BlockRefinementScheduler": _DISCRETE,
    "CMStochasticIterativeScheduler": _DISTILLED,
    "ConsistencyDecoderScheduler": _DISTILLED,
    "DDPMWuerstchenScheduler": "the networks of Wuerstchen and Stable Cascade, which are not read",
    "DiscreteDDIMScheduler": _DISCRETE,
    "EntropyBoundScheduler": _DISCRETE,
    "FlowMapEulerDiscreteScheduler": _DISTILLED,
    "FlowMatchLCMScheduler": _DISTILLED,
    "HeliosDMDScheduler": _DISTILLED,
    "HeliosScheduler": _STAGES,
    "KarrasVeScheduler": "a network whose input and output its pipeline rescales, as no file says",
    "LCMScheduler": _DISTILLED,
    "MiniMaxH3Scheduler": "a velocity towards the data, of a network that is not read",
    "PiflowScheduler": _DISTILLED,
    "RFD4ProteinaScheduler": "frames of proteins",
    "SCMScheduler": _DISTILLED,
    "ScoreSdeVpScheduler": "the VP process in continuous time; what its network is told of the "
    "time is not in the configuration",
    "TCDScheduler": _DISTILLED,
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
FLOW_PREDICTION = "flow_prediction"  # of classes with betas, where `use_flow_sigmas` is set
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
SHIFTED_BETAS = ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler")
LATENT_BETAS = frozenset(
    [
        "DPMSolverSDEScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        *SHIFTED_BETAS,
    ]
)  # classes whose table, where a configuration does not say, is that of latent diffusion
OF_EDM = frozenset(
    [
        "sigma_min",
        "sigma_max",
        "sigma_data",
        "sigma_schedule",
        "rho",
        "prediction_type",
        *HARMLESS,
        "num_train_timesteps",
    ]
)
OF_FLOW = frozenset(
    [
        "num_train_timesteps",
        "shift",
        "use_dynamic_shifting",
        "base_shift",
        "max_shift",
        "base_image_seq_len",
        "max_image_seq_len",
        "time_shift_type",
        "invert_sigmas",
        "stochastic_sampling",
        *HARMLESS,
    ]
)
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
