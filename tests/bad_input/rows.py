"""The table: wrong input by kind, at most 12 of one."""

from __future__ import annotations

from tests.bad_input.alarm_rows import ALARM_ROWS
from tests.bad_input.context_rows import CONTEXT_ROWS
from tests.bad_input.genie_rows import GENIE_ROWS
from tests.bad_input.observation_rows import OBSERVATION_ROWS
from tests.bad_input.row import (
    ADAPT,
    APP,
    BANK,
    CALIBRATED,
    CONFORMAL,
    CT,
    DEMO,
    DISTIL,
    EVALUATE,
    EXPORT,
    FOREIGN,
    MEASURED,
    SAMPLE,
    SERVE,
    TRAIN,
    WITHOUT,
    Row,
)
from tests.bad_input.scaffold_rows import SCAFFOLD_ROWS

ROWS: dict[str, list[Row]] = {
    "foreign checkpoints": [
        Row(
            TRAIN,
            "--prior {w}/adm.pt",
            (
                "{w}/adm.pt: got weights alone",
                "heads, attention_order, image_size, noise_schedule, prediction_type, value_range",
                "--details.num_heads or --details.num_head_channels",
                "adm.config.json",
            ),
        ),
        Row(
            TRAIN,
            f"--prior {{w}}/adm_less.pt {FOREIGN}",
            ("{w}/adm_less.pt", "missing 20: ", "out_layers.0.weight (32,)", ", ..."),
        ),
        Row(
            TRAIN,
            f"--prior {{w}}/adm_more.pt {FOREIGN}",
            ("{w}/adm_more.pt", "not of this network 1: more.weight (3, 2)"),
        ),
        Row(TRAIN, f"--prior {{w}}/adm_classes.pt {FOREIGN}", ("a classifier", "output_blocks")),
        Row(
            TRAIN,
            f"--prior {{w}}/adm_512.pt {FOREIGN}",
            ("channel_mult 0.5", "ImageNet-512", "CallablePrior"),
        ),
        Row(TRAIN, "--prior {w}/adm_cut.pt", ("{w}/adm_cut.pt is truncated: 20000 bytes",)),
        Row(TRAIN, "--prior {w}/evil.pt", ("not executed", "needs the code of", "mkdir")),
        Row(
            TRAIN,
            "--prior {w}/edm.pkl",
            ("{w}/edm.pkl", "the source code of its network", "net.state_dict()"),
        ),
        Row(TRAIN, "--prior {w}/sd.ckpt", ("latent diffusion", "from_single_file")),
        Row(TRAIN, "--prior {w}/pointer.pt", ("a pointer of Git LFS", "git lfs pull")),
        Row("inspect {w}/evil.pt", "", ("not executed", "needs the code of", "mkdir")),
        Row("inspect {w}/adm_cut.pt", "", ("{w}/adm_cut.pt is truncated: 20000 bytes",)),
    ],
    "what a checkpoint does not say": [
        Row(
            TRAIN,
            "--prior {w}/adm.pt --details.num_heads 3 --details.attention_order new "
            "--details.image_size 8 --schedule linear --prediction_type epsilon "
            "--details.value_range [-1,1]",
            ("--details.num_heads", "got 3", "a divisor of each width with attention: 64"),
        ),
        Row(
            TRAIN,
            f"--prior {{w}}/adm.pt {FOREIGN} --details.num_heads 2",
            ("--details.num_heads", "one of the two"),
        ),
        Row(
            TRAIN,
            "--details.num_heads 4",
            ("--details", "num_heads", "nothing: {w}/tiny.safetensors is no file of weights"),
        ),
        Row(
            TRAIN,
            f"--prior {{w}}/adm.pt {FOREIGN} --details.attention_order old",
            ("--details.attention_order", "old", "legacy", "new"),
        ),
        Row(
            TRAIN,
            f"--prior {{w}}/adm.pt {FOREIGN} --details.config {{w}}/other.config.json",
            ("{w}/other.config.json: num_channels", "got 64", "expected 32"),
        ),
        Row(
            TRAIN,
            f"--prior {{w}}/adm.pt {FOREIGN} --details.diffusion_steps 4000",
            ("--details.rescale_timesteps", "true or false", "0.25 k"),
        ),
        Row(SAMPLE, "--details.image_size 0", ("--details.image_size", "got 0", "from 1 to")),
        Row(
            EVALUATE,
            "--details.value_range [1,-1]",
            ("--details.value_range", "finite, with low < high"),
        ),
        Row(DEMO, "--details.heads 4", ("--details", "not heads", "mean num_heads?")),
        Row(ADAPT, "--details.config nowhere.json", ("--details",)),
        Row(
            "inspect {w}/adm.pt",
            "--details.config nowhere.json",
            ("--details.config", "got nowhere.json", "a JSON file that exists"),
        ),
        Row(
            "inspect digits-32",
            "--details.num_heads 4",
            ("--details", "not used with digits-32"),
        ),
    ],
    "testing what is assumed": [
        Row(f"inspect {{w}}/adm.pt {FOREIGN}", "--images {w}/images", ("16", "8", "--fit")),
        Row(
            f"inspect {{w}}/adm.pt {FOREIGN}",
            "--images {w}/one --fit resize",
            ("--images", "got 1 images", "at least 4"),
        ),
        Row(f"inspect {{w}}/adm.pt {FOREIGN}", "--images {w}/empty", ("{w}/empty",)),
        Row(f"inspect {{w}}/adm.pt {FOREIGN}", "--images {w}/nothing", ("{w}/nothing",)),
        Row(
            f"inspect {{w}}/adm.pt {FOREIGN}",
            "--images {w}/colour --fit resize",
            ("--convert", "grey"),
        ),
        Row(
            f"inspect {{w}}/adm.pt {FOREIGN}",
            "--images {w}/images --fit resize --convert blue",
            ("--convert", "got blue"),
        ),
        Row(
            f"inspect {{w}}/adm.pt {FOREIGN}",
            "--images {w}/images --fit resize --labels 0",
            ("--labels", "unconditional"),
        ),
        Row(
            "inspect {w}/adm.pt",
            "--images {w}/images",
            ("{w}/adm.pt: got weights alone", "not guessed"),
        ),
        Row("inspect {w}/adm.pt", "--fit resize", ("--fit", "not used without --images")),
        Row("inspect {w}/adm.pt", "--labels 0", ("--labels", "not used", "--images")),
        Row("inspect digits-32", "--images {w}/images", ("--images", "not used with digits-32")),
        Row("inspect {w}/diffusers", "--images {w}/images", ("--images", "not used with")),
    ],
    "exporting": [
        Row("export", "", ("SOURCE", "got nothing", "this command needs it")),
        Row("export ''", "", ("SOURCE", "got nothing", "a checkpoint of guided-diffusion")),
        Row("export {w}/adm.pt", FOREIGN, ("--out", "got nothing", "this command needs it")),
        Row(EXPORT, "--out {w}/images", ("--out", "{w}/images", "a folder that is new, or empty")),
        Row(EXPORT, "--to onnx", ("--to", "got onnx", "diffusers")),
        Row(EXPORT, "--subfolder unet", ("--subfolder", "got unet", "is a file")),
        Row(EXPORT, "--schedule linaer", ("--schedule", "got linaer", "linear")),
        Row(
            EXPORT,
            "--prediction_type noise",
            ("--prediction_type", "got noise", "epsilon", "v_prediction"),
        ),
        Row(
            EXPORT,
            "--details.value_range [0,1]",
            ("--details.value_range", "(0.0, 1.0)", "which cannot say another"),
        ),
        Row("export {w}/tiny.safetensors", "--out out", ("(UNetPrior)", "a UNet2DModel")),
        Row("export --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row(EXPORT, "--config {w}/yaml/list.yaml", ("{w}/yaml/list.yaml",)),
    ],
    "adapting": [
        Row(ADAPT, "--h nowhere", ("nowhere does not exist", "deft list")),
        Row(ADAPT, "--minutes 3", ("--minutes", "--steps")),
        Row(
            ADAPT.replace("--steps 2", ""),
            "--minutes 0",
            ("--minutes", "got 0", "a finite number > 0"),
        ),
        Row(ADAPT, "--steps 0", ("--steps", "got 0", "a whole number from 1")),
        Row(ADAPT, "--learning_rate -1", ("--learning_rate", "got -1", "a finite number > 0")),
        Row(ADAPT, "--validation_share 0.9", ("--validation_share", "got 0.9", "in [0, 0.5]")),
        Row(ADAPT, "--problem.factor 3", ("factor", "3", "16")),
        Row(ADAPT, "--images {w}/nothing", ("{w}/nothing",)),
        Row(ADAPT, "--operators any", ("--operators", "unknown option")),
        Row(TRAIN, "--operators all", ("--operators", "all", "one", "any")),
        Row(TRAIN, "--point y", ("--point", "pivot", "matched")),
        Row(
            TRAIN,
            "--initial {w}/run --operators any",
            ("--operators", "--initial"),
        ),
    ],
    "priors behind an API": [
        Row(TRAIN, "--prior {api}/token", ("token", "got none", "DEFT_TOKEN", "DEFT_TOKEN_FILE")),
        Row(
            TRAIN,
            "--prior {api}/shape",
            (
                "the answer of the prior at {api}/shape",
                "(2, 1, 3, 16)",
                "expected x_0_hat of torch.float32, (2, 1, 16, 16)",
                "saved in out/state.safetensors",
                "Go on with: deft train --prior",
            ),
            keeps=True,
        ),
        Row(
            TRAIN,
            "--prior {api}/nan",
            ("the answer of the prior at {api}/nan", "NaN or infinite", "finite numbers"),
            keeps=True,
        ),
        Row(TRAIN, "--prior {api}/page", ("{api}/page", "something else", "deft serve-prior")),
        Row(TRAIN, "--prior {api}/redirect", ("redirects to http://elsewhere.example/",)),
        Row(TRAIN, "--prior 127.0.0.1:8000", ("--prior", "got 127.0.0.1:8000", "http://HOST:PORT")),
        Row(TRAIN, "--prior ftp://host:1", ("--prior", "got ftp://host:1", "http://HOST:PORT")),
        Row(
            TRAIN,
            "--prior http://me:secret@127.0.0.1:8000",
            ("--prior", "got http://...@127.0.0.1", "without a user or a password", "DEFT_TOKEN"),
        ),
        Row(
            TRAIN,
            "--prior http://127.0.0.1:9",
            ("no answer from http://127.0.0.1:9", "deft serve-prior"),
        ),
        Row(TRAIN, "--prior {api}/good --subfolder unet", ("--subfolder", "got unet", "a server")),
        Row(WITHOUT, "--prior {api}/good --method DPS", ("DPS needs gradients", "RemotePrior")),
        Row(
            SAMPLE,
            "--h {w}/cards/api.safetensors",
            ("--prior", "got http://127.0.0.1:9", "a server that a file names is not asked"),
        ),
    ],
    "serving": [
        Row(SERVE, "--prior nowhere", ("there is no prior 'nowhere'",)),
        Row(SERVE, "--host 0.0.0.0", ("token", "got none", "0.0.0.0", "DEFT_TOKEN")),
        Row(SERVE, "--port 70000", ("--port", "got 70000", "from 0 to 65,535")),
        Row(SERVE, "--port first", ("--port", "got first", "a whole number")),
        Row(SERVE, "--token_file {w}/nowhere", ("--token_file", "{w}/nowhere", "No such file")),
        Row(SERVE, "--token_file {w}/file", ("--token_file", "{w}/file", "8 to 500 letters")),
        Row(SERVE, "--batch_size 0", ("--batch_size", "got 0", "a whole number from 1")),
        Row(SERVE, "--megabytes 0", ("--megabytes", "got 0", "a finite number > 0")),
        Row(SERVE, "--megabytes 1e-6", ("--megabytes", "got 1e-06", "the size of one signal")),
        Row(SERVE, "--timeout 0", ("--timeout", "got 0", "a finite number > 0")),
        Row(SERVE, "--wait -1", ("--wait", "got -1", "a finite number >= 0")),
        Row(SERVE, "--wait 60", ("--wait", "got 60", "less than the timeout")),
    ],
    "serving, more": [
        Row(SERVE, "--labels 0", ("unconditional",)),
        Row(SERVE, "--subfolder unet", ("--subfolder", "got unet", "says itself")),
        Row(SERVE, "--schedule linear", ("--schedule", "got linear", "says itself")),
        Row(SERVE, "--prediction_type epsilon", ("--prediction_type", "got epsilon")),
        Row(SERVE, "--allow nowhere_at_all", ("--allow", "got nowhere_at_all", "a module")),
        Row(SERVE, "--config {w}/nothing.yaml", ("--config", "nothing.yaml")),
        Row(SERVE, "--token abcdefgh12", ("unknown option", "--token", "--token_file")),
        Row("serve-prior --print_config=x", "", ('Invalid option "x" for --print_config',)),
    ],
    "the page": [
        Row(APP, "--h nowhere", ("nowhere does not exist", "deft list")),
        Row(APP, "--h owner/nothing", ("owner/nothing does not exist here", "Hugging Face hub")),
        Row(APP, "--h {w}/run --prior nowhere", ("no prior 'nowhere'",)),
        Row(APP, "--prior digits-32", ("--prior", "got digits-32", "--h FILE")),
        Row(APP, "--port 70000", ("--port", "got 70000", "from 0 to 65,535")),
        Row(APP, "--megabytes 0", ("--megabytes", "got 0", "a finite number > 0")),
        Row(APP, "--samples 0", ("--samples", "got 0", "a whole number from 1")),
        Row(APP, "--open_page perhaps", ("--open_page", "got perhaps")),
        Row(APP, "--allow nowhere_at_all", ("--allow", "got nowhere_at_all", "a module")),
        Row(APP, "--config {w}/nothing.yaml", ("--config", "nothing.yaml")),
        Row("app --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row(APP, "--host 0.0.0.0", ("unknown option", "--host")),
    ],
    "not finite": [
        Row(TRAIN, "--learning_rate nan", ("--learning_rate", "got nan", "a finite number")),
        Row(TRAIN, "--ema inf", ("--ema", "got inf", "a finite number")),
        Row(TRAIN, "--problem.sigma_y .inf", ("--problem.sigma_y", "got inf", "a finite number")),
        Row(TRAIN, "--times.mean nan", ("--times.mean", "got nan", "a finite number")),
        Row(TRAIN, "--validation_share .nan", ("--validation_share", "got nan", "a finite number")),
        Row(TRAIN, "--fraction inf", ("--fraction", "got inf", "a finite number")),
        Row(SAMPLE, "--value_range [nan,1]", ("--value_range", "got nan", "a finite number")),
        Row(MEASURED, "--sigma_y inf", ("--sigma_y", "got inf", "a finite number")),
        Row(
            WITHOUT,
            "--method DPS --method.zeta nan",
            ("--method.zeta", "got nan", "a finite number"),
        ),
        Row(
            WITHOUT,
            "--method DDRM --method.eta .nan",
            ("--method.eta", "got nan", "a finite number"),
        ),
        Row(DEMO, "--minutes nan", ("--minutes", "got nan", "a finite number")),
        Row(EVALUATE, "--value_range [0,inf]", ("--value_range", "got inf", "a finite number")),
    ],
    "zero": [
        Row(
            TRAIN,
            "--steps 0",
            (
                "--steps",
                "got 0",
                "a whole number from 1 to 10,000,000, optimiser",
                "A small h-transform learns in thousands",
            ),
        ),
        Row(
            TRAIN,
            "--batch_size 0",
            ("--batch_size", "got 0", "a whole number from 1 to 1,048,576, the signals"),
        ),
        Row(
            TRAIN,
            "--accumulate 0",
            ("--accumulate", "got 0", "a whole number from 1 to 1,048,576, batches of"),
        ),
        Row(
            TRAIN,
            "--save_every 0",
            ("--save_every", "got 0", "a whole number >= 1, optimiser steps"),
        ),
        Row(
            TRAIN,
            "--validate_every 0",
            ("--validate_every", "got 0", "a whole number >= 1, optimiser steps"),
        ),
        Row(
            TRAIN,
            "--validation_draws 0",
            (
                "--validation_draws",
                "got 0",
                "a whole number >= 1, draws from the images that",
                "Hold none out for none",
            ),
        ),
        Row(
            TRAIN,
            "--patience 0",
            ("--patience", "got 0", "a whole number >= 1, validations without a better"),
        ),
        Row(SAMPLE, "--samples 0", ("--samples", "got 0", "a whole number from 1 to 1,048,576")),
        Row(SAMPLE, "--limit 0", ("--limit", "got 0", "a whole number from 1 to 1,048,576")),
        Row(
            SAMPLE,
            "--steps 0",
            ("--steps", "got 0", "a whole number from 1 to 1,000,000, at least one"),
        ),
        Row(
            EVALUATE,
            "--batch_size 0",
            ("--batch_size", "got 0", "a whole number from 1 to 1,048,576"),
        ),
        Row(DEMO, "--samples 0", ("--samples", "got 0", "a whole number from 1 to 1,048,576")),
    ],
    "negative": [
        Row(
            TRAIN,
            "--steps -1",
            (
                "--steps",
                "got -1",
                "a whole number from 1 to 10,000,000, optimiser",
                "A small h-transform learns in thousands",
            ),
        ),
        Row(TRAIN, "--bank -1", ("--bank", "got -1", "a count >= 0", "Use 0 for none")),
        Row(TRAIN, "--slopes -3", ("--slopes", "got -3", "a count >= 0", "Use 0 for none")),
        Row(
            TRAIN,
            "--learning_rate -1",
            (
                "--learning_rate",
                "got -1.0",
                "a finite number > 0, the peak of the learning rate",
                "0.001 is the usual one",
            ),
        ),
        Row(
            TRAIN,
            "--problem.sigma_y -0.1",
            (
                "--problem.sigma_y",
                "got -0.1",
                "a finite number >= 0, the standard deviation of",
                "Use 0 for no noise, or (low, high) for",
            ),
        ),
        Row(
            TRAIN,
            "--fraction -0.1",
            (
                "--fraction",
                "got -0.1",
                "a share of the prior's parameters above 0 and at",
                "0.05 is the usual one",
            ),
        ),
        Row(
            TRAIN,
            "--times.std -1",
            ("--times.std", "got -1.0", "a finite number > 0, the standard deviation of"),
        ),
        Row(SAMPLE, "--samples -4", ("--samples", "got -4", "a whole number from 1 to 1,048,576")),
        Row(
            MEASURED,
            "--sigma_y -0.5",
            (
                "--sigma_y",
                "got -0.5",
                "a finite number >= 0, the standard deviation of",
                "Use 0 for no noise",
            ),
        ),
        Row(
            EVALUATE,
            "--paths -1",
            ("--paths", "got -1", "at least 2, the paths of each image that are", "Use 0 for none"),
        ),
        Row(EVALUATE, "--limit -2", ("--limit", "got -2", "a whole number from 1 to 1,048,576")),
        Row(DEMO, "--minutes -3", ("--minutes", "got -3.0", "a number above 0 and at most 10,000")),
    ],
    "too large": [
        Row(
            TRAIN,
            "--steps 100000000",
            (
                "--steps",
                "got 100000000",
                "a whole number from 1 to 10,000,000, optimiser",
                "A small h-transform learns in thousands",
            ),
        ),
        Row(
            TRAIN,
            "--validation_share 0.999",
            (
                "--validation_share",
                "got 0.999",
                "a share of the images in [0, 0.5], so that more",
                "Use 0 for none",
            ),
        ),
        Row(
            TRAIN,
            "--fraction 200",
            (
                "--fraction",
                "got 200.0",
                "a share of the prior's parameters above 0 and at",
                "0.05 is the usual one",
            ),
        ),
        Row(
            TRAIN,
            "--ema 1.5",
            (
                "--ema",
                "got 1.5",
                "a number in [0, 1), the decay of the averaged",
                "0.999 is the usual one, 0 takes the",
            ),
        ),
        Row(
            TRAIN,
            "--batch_size 1e12",
            (
                "--batch_size",
                "got 1000000000000",
                "a whole number from 1 to 1,048,576, the signals",
            ),
        ),
        Row(
            TRAIN,
            "--bank 1e15",
            ("--bank", "got 1000000000000000", "for which the disk has room", "GB are free"),
        ),
        Row(
            SAMPLE,
            "--samples 1e9",
            ("--samples", "got 1000000000", "a whole number from 1 to 1,048,576"),
        ),
        Row(
            SAMPLE,
            "--steps 1e9",
            ("--steps", "got 1000000000", "a whole number from 1 to 1,000,000, at least one"),
        ),
        Row(
            DEMO,
            "--fraction 2000",
            (
                "--fraction",
                "got 2000.0",
                "a share of the prior's parameters above 0 and at",
                "0.05 is the usual one",
            ),
        ),
        Row(
            DEMO,
            "--minutes 1e9",
            ("--minutes", "got 1000000000.0", "a number above 0 and at most 10,000"),
        ),
        Row(
            TRAIN,
            "--learning_rate 1e9",
            (
                "the gradient of step 2 is not finite, at log-SNRs between -6.648 (t =",
                "Lower the learning rate and start again in",
            ),
            keeps=True,
        ),
        Row(TRAIN, "--seed 1e30", ("--seed", "got 1e+30", "a whole number")),
    ],
    "not a number": [
        Row(TRAIN, "--steps many", ("--steps", "got many", "a whole number")),
        Row(TRAIN, "--batch_size 2.5", ("--batch_size", "got 2.5", "a whole number")),
        Row(TRAIN, "--learning_rate fast", ("--learning_rate", "got fast", "a number")),
        Row(TRAIN, "--seed one", ("--seed", "got one", "a whole number")),
        Row(TRAIN, "--flip maybe", ("--flip", "got maybe", "true or false")),
        Row(
            TRAIN,
            "--problem.sigma_y small",
            ("--problem.sigma_y", "got small", "a number or a pair, such as [0,1]"),
        ),
        Row(SAMPLE, "--samples two", ("--samples", "got two", "a whole number")),
        Row(SAMPLE, "--batch_size 1,5", ("--batch_size", "got 1,5", "a whole number")),
        Row(EVALUATE, "--limit first", ("--limit", "got first", "a whole number")),
        Row(EVALUATE, "--paths few", ("--paths", "got few", "a whole number")),
        Row(DEMO, "--seed x", ("--seed", "got x", "a whole number")),
        Row(DEMO, "--quick perhaps", ("--quick", "got perhaps", "true or false")),
    ],
    "ranges": [
        Row(
            SAMPLE,
            "--value_range [1,0]",
            (
                "--value_range",
                "got (1.0, 0.0)",
                "nothing: {w}/two holds pictures, whose whole",
                "Leave --value_range out",
            ),
        ),
        Row(
            MEASURED,
            "--value_range [1,1]",
            ("--value_range", "got (1.0, 1.0)", "(low, high), finite, with low < high, the range"),
        ),
        Row(MEASURED, "--value_range [0]", ("--value_range", "got [0]", "2 values, such as [0,1]")),
        Row(MEASURED, "--value_range 0,1", ("--value_range", "got 0,1", "a pair, such as [0,1]")),
        Row(
            MEASURED,
            "--value_range [0,1,2]",
            ("--value_range", "got [0, 1, 2]", "2 values, such as [0,1]"),
        ),
        Row(
            CT.replace("[-1000,1500]", "[1500,-1000]"),
            "--images {w}/ct",
            (
                "--problem.window",
                "got (1500.0, -1000.0)",
                "(low, high) in Hounsfield units, low < high",
                "Swap them: (-1000, 1500)",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct --window nowhere",
            (
                "unknown window",
                "got nowhere",
                "one of full, chest, lung, mediastinum, abdomen,",
                "Use a name, or two numbers such as",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct --window [0,0]",
            (
                "--window",
                "got (0.0, 0.0)",
                "(low, high) in Hounsfield units, finite, with low",
                "Use a name (full, chest, lung,",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct --window chest",
            (
                "--window is [-1000.0, 400.0] and that of the problem [-1000.0, 1500.0]",
                "what the prior's range means must be the same for",
            ),
        ),
        Row(
            TRAIN,
            "--problem.sigma_y [0.2,0.1]",
            (
                "--problem.sigma_y",
                "got (0.2, 0.1)",
                "(low, high), finite, with 0 < low <= high, the",
                "Give one number for a level that is the",
            ),
        ),
        Row(
            TRAIN,
            "--problem.sigma_y [0.1,0.2,0.3]",
            ("--problem.sigma_y", "got [0.1, 0.2, 0.3]", "2 values, such as [0,1]"),
        ),
        Row(EVALUATE, "--window [5,1]", ("a window is for CT slices", "{w}/two is neither")),
    ],
    "distilling": [
        Row(
            DISTIL,
            "--steps_to 0",
            ("--steps_to", "got 0", "a whole number from 1 to 100, prior evaluations"),
        ),
        Row(
            DISTIL,
            "--steps_to 1000",
            ("--steps_to", "got 1000", "a whole number from 1 to 100, prior evaluations"),
        ),
        Row(DISTIL, "--by magic", ("--by", "got magic", "one of score, teacher")),
        Row(
            DISTIL,
            "--teacher_steps 20",
            ("--teacher_steps", "got 20", "nothing: it is not used with --by score"),
        ),
        Row(
            DISTIL,
            "--by teacher --teacher_steps 1",
            ("--teacher_steps", "got 1", "a whole number from 2 to 10,000, at least one in each"),
        ),
        Row(DISTIL, "--low nan", ("--low", "got nan", "a finite number")),
        Row(DISTIL, "--low 4 --high -3", ("--low", "got 4.0", "a log-SNR below -3")),
        Row(
            DISTIL,
            "--low -90 --high -80",
            ("--high", "got -80.0", "a log-SNR above", "the noise end of"),
        ),
        Row(DISTIL, "--h nothing", ("nothing does not exist", "no h-transform of that name")),
        Row(
            DISTIL,
            "--prior digits-32",
            ("was trained for the prior tiny", "the prior given is digits-32"),
        ),
        Row(DISTIL, "--steps 0", ("--steps", "got 0", "a whole number from 1 to 10,000,000")),
        Row("distil --config", "", ("--config", "got nothing", "a value")),
    ],
    "distilling, more": [
        Row(DISTIL, "--images {w}/nowhere", ("{w}/nowhere does not exist",)),
        Row(DISTIL, "--validation_images {w}/nowhere", ("{w}/nowhere does not exist",)),
        Row(DISTIL, "--out", ("--out", "got nothing", "a value")),
        Row(DISTIL, "--batch_size 2.5", ("--batch_size", "got 2.5", "a whole number")),
        Row(DISTIL, "--learning_rate fast", ("--learning_rate", "got fast", "a number")),
        Row(DISTIL, "--seed 1e30", ("--seed", "got 1e+30", "a whole number")),
        Row(DISTIL, "--save_every 0", ("--save_every", "got 0", "a whole number >= 1")),
        Row(DISTIL, "--resume perhaps", ("--resume", "got perhaps", "true or false")),
        Row(DISTIL, "--convert gray", ("--convert", "got gray", "one of rgb, grey")),
        Row(DISTIL, "--fit stretch", ("--fit", "got stretch", "one of resize, crop")),
        Row(DISTIL, "--window chest", ("a window is for CT slices", "{w}/images is neither")),
        Row(DISTIL, "--value_range [0,inf]", ("--value_range", "got inf", "a finite number")),
    ],
    "distilling, names": [
        Row("distil --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row(DISTIL, "--key x", ("--key", "got x")),
        Row(DISTIL, "--allow nobody.here", ("--allow", "got nobody.here", "a module of your own")),
    ],
    "empty values": [
        Row(
            TRAIN,
            "--out ''",
            ("--out", "got nothing", "a value", "Leave --out out where there is none"),
        ),
        Row(
            TRAIN,
            "--images ''",
            ("--images", "got nothing", "a value", "Leave --images out where there is none"),
        ),
        Row(
            TRAIN,
            "--prior ''",
            ("--prior", "got nothing", "a value", "Leave --prior out where there is none"),
        ),
        Row(
            TRAIN,
            "--key ''",
            ("--key", "got nothing", "a value", "Leave --key out where there is none"),
        ),
        Row(
            SAMPLE, "--h ''", ("--h", "got nothing", "a value", "Leave --h out where there is none")
        ),
        Row(
            SAMPLE,
            "--convert ''",
            ("--convert", "got nothing", "a value", "Leave --convert out where there is none"),
        ),
        Row(
            SAMPLE,
            "--method ''",
            ("--method", "got nothing", "a value", "Leave --method out where there is none"),
        ),
        Row(
            MEASURED,
            "--masks ''",
            ("--masks", "got nothing", "a value", "Leave --masks out where there is none"),
        ),
        Row(
            EVALUATE,
            "--title ''",
            ("--title", "got nothing", "a value", "Leave --title out where there is none"),
        ),
        Row(
            EVALUATE,
            "--reference ''",
            ("--reference", "got nothing", "a value", "Leave --reference out where there is"),
        ),
        Row("inspect", "", ("TARGET", "got nothing", "a value: this command needs it")),
        Row(
            "inspect ''",
            "",
            ("TARGET", "got nothing", "a checkpoint, of this library or of another"),
        ),
    ],
    "values left out": [
        Row(TRAIN, "--steps", ("--steps", "got nothing", "a value")),
        Row(TRAIN, "--out", ("--out", "got nothing", "a value")),
        Row(TRAIN, "--initial", ("--initial", "got nothing", "a value")),
        Row(SAMPLE, "--seed", ("--seed", "got nothing", "a value")),
        Row(SAMPLE, "--labels", ("--labels", "got nothing", "a value")),
        Row(MEASURED, "--measurements", ("--measurements", "got nothing", "a value")),
        Row(MEASURED, "--masks", ("--masks", "got nothing", "a value")),
        Row(EVALUATE, "--weights.features", ("--weights", "got nothing", "a value")),
        Row(EVALUATE, "--reference", ("--reference", "got nothing", "a value")),
        Row(DEMO, "--minutes", ("--minutes", "got nothing", "a value")),
        Row("list --kind", "", ("--kind", "got nothing", "a value")),
        Row("train --config", "", ("--config", "got nothing", "a value")),
    ],
    "unknown options": [
        Row(
            TRAIN,
            "--stepz 3",
            (
                "unknown option",
                "got --stepz",
                "an option of this command (--help shows them)",
                "Did you mean --steps or --seed or",
            ),
        ),
        Row(
            TRAIN,
            "--lr 0.1",
            (
                "unknown option",
                "got --lr",
                "an option of this command (--help shows them)",
                "Did you mean --learning_rate?",
            ),
        ),
        Row(
            TRAIN,
            "--prior.name x",
            (
                "unknown option",
                "got --prior.name",
                "an option of this command; --prior takes a text",
            ),
        ),
        Row(
            TRAIN,
            "--problem.sigma 0.1",
            (
                "--problem",
                "expected an argument of Inpainting, not sigma: masks, sigma_y",
                "Did you mean sigma_y?",
            ),
        ),
        Row(
            SAMPLE,
            "--sample 3",
            (
                "unknown option",
                "got --sample",
                "an option of this command (--help shows them)",
                "Did you mean --samples or --sampler or",
            ),
        ),
        Row(
            SAMPLE,
            "--sampler.steps 3",
            (
                "--sampler",
                "got steps without a class",
                "the name of a class first",
                "Say, for example, --sampler DDIM",
            ),
        ),
        Row(
            MEASURED,
            "--mask {w}/mask.png",
            (
                "unknown option",
                "got --mask",
                "an option of this command (--help shows them)",
                "Did you mean --masks or --images or",
            ),
        ),
        Row(
            EVALUATE,
            "--method DPS",
            (
                "unknown option",
                "got --method",
                "an option of this command (--help shows them)",
                "Did you mean --methods or",
            ),
        ),
        Row(
            DEMO,
            "--minute 3",
            (
                "unknown option",
                "got --minute",
                "an option of this command (--help shows them)",
                "Did you mean --minutes or --out or",
            ),
        ),
        Row(
            "list --kinds masks",
            "",
            (
                "unknown option",
                "got --kinds",
                "an option of this command (--help shows them)",
                "Did you mean --kind?",
            ),
        ),
        Row(
            "inspect {w}/run --verbose",
            "",
            ("unknown option", "got --verbose", "an option of this command (--help shows them)"),
        ),
        Row(
            TRAIN,
            "stray",
            ("unknown option", "got stray", "an option of this command (--help shows them)"),
        ),
    ],
    "unknown choices": [
        Row(TRAIN, "--precision fp64", ("--precision", "got fp64", "one of fp32, bf16, auto")),
        Row(TRAIN, "--convert gray", ("--convert", "got gray", "one of rgb, grey")),
        Row(TRAIN, "--fit stretch", ("--fit", "got stretch", "one of resize, crop")),
        Row(
            TRAIN,
            "--h_transform LearnedH",
            ("'LearnedH' is none of the h-transforms", "did you mean LearnedHTransform?"),
        ),
        Row(
            TRAIN,
            "--h_transform DPS",
            (
                "--h_transform: got DPS",
                "an h-transform that is learned: LearnedHTransform, PaperHTransform or",
            ),
        ),
        Row(
            TRAIN,
            "--problem Inpaintign",
            (
                "--problem",
                "got Inpaintign; expected a problem that there is",
                "Did you mean Inpainting?",
            ),
        ),
        Row(
            SAMPLE,
            "--method DPSS",
            (
                "--method",
                "got DPSS",
                "got DPSS; expected a method that there is",
                "Did you mean DPS or DAPS?",
            ),
        ),
        Row(
            SAMPLE,
            "--sampler Huen",
            (
                "--sampler",
                "got Huen",
                "got Huen; expected a sampler that there is",
                "Did you mean Heun?",
            ),
        ),
        Row(
            SAMPLE,
            "--sampler TwistedSMC",
            (
                "--sampler",
                "got TwistedSMC",
                "got TwistedSMC; expected a sampler that there is",
                "TwistedSMC is a method, so say --method",
            ),
        ),
        Row(
            "list --kind mask",
            "",
            ("--kind", "got mask", "one of all, priors, problems, operators, masks,"),
        ),
        Row(
            TRAIN,
            "--problem.masks boxes",
            (
                "--problem.masks",
                "got boxes",
                "one of freeform, box, random, half",
                "Did you mean box?",
            ),
        ),
        Row(
            WITHOUT,
            "--method Given --method.h_transform Nothing",
            (
                "--method.h_transform",
                "got Nothing; expected an h-transform that there is",
                "Deft list --kind h-transforms shows what there is",
            ),
        ),
    ],
    "commands": [
        Row(
            "tarin",
            "",
            ("there is no command 'tarin'", "the commands are demo, train, adapt, bank,"),
        ),
        Row(
            "Train",
            "",
            ("there is no command 'Train'", "the commands are demo, train, adapt, bank,"),
        ),
        Row(
            "--verbose",
            "",
            (
                "there is no command '--verbose'",
                "the commands are demo, train, adapt, bank,",
            ),
        ),
        Row(
            "deft train",
            "",
            ("there is no command 'deft'", "the commands are demo, train, adapt, bank,"),
        ),
        Row("sample", "", ("--out", "got nothing", "a value: this command needs it")),
        Row("evaluate", "", ("--prior", "got nothing", "a value: this command needs it")),
        Row("train", "", ("--prior", "got nothing", "a value: this command needs it")),
        Row(
            "list masks",
            "",
            ("unknown option", "got masks", "an option of this command (--help shows them)"),
        ),
        Row(
            "inspect a b",
            "",
            ("unknown option", "got b", "an option of this command (--help shows them)"),
        ),
        Row(
            "train help",
            "",
            ("unknown option", "got help", "an option of this command (--help shows them)"),
        ),
    ],
    "files of options": [
        Row(
            TRAIN,
            "--config {w}/yaml/tabs.yaml",
            (
                "--config",
                "got {w}/yaml/tabs.yaml, line 2: found character",
                "YAML (spaces, no tabs, to the left of keys)",
            ),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/list.yaml",
            (
                "--config",
                "got {w}/yaml/list.yaml, a list",
                "options of this command, one `name: value` a line",
            ),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/empty.yaml",
            (
                "--config",
                "got {w}/yaml/empty.yaml, an empty file",
                "options of this command, one `name: value` a line",
            ),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/value.yaml",
            (
                "--config",
                "got {w}/yaml/value.yaml, a single value",
                "options of this command, one `name: value` a line",
            ),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/twice.yaml",
            ("--config", "got {w}/yaml/twice.yaml, where steps stands", "each option once"),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/unknown.yaml",
            (
                "unknown option",
                "got stepz",
                "an option of this command (--help shows them)",
                "Did you mean steps?",
            ),
        ),
        Row(TRAIN, "--config {w}/yaml/type.yaml", ("--steps", "got [1, 2]", "a whole number")),
        Row(
            TRAIN,
            "--config {w}/yaml/quote.yaml",
            (
                "--config",
                "got {w}/yaml/quote.yaml, line 2: found",
                "YAML (spaces, no tabs, to the left of keys)",
            ),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/anchor.yaml",
            (
                "--config",
                "got {w}/yaml/anchor.yaml, line 1: found",
                "YAML (spaces, no tabs, to the left of keys)",
            ),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/tag.yaml",
            (
                "--config",
                "got {w}/yaml/tag.yaml, line 1: could not",
                "YAML (spaces, no tabs, to the left of keys)",
            ),
        ),
        Row(TRAIN, "--config {w}/yaml/nan.yaml", ("--learning_rate", "got nan", "a finite number")),
        Row(
            TRAIN,
            "--config {w}/yaml/class.yaml",
            (
                "--problem",
                "got Inpaintign; expected a problem that there is",
                "Did you mean Inpainting?",
            ),
        ),
    ],
    "files of options, more": [
        Row(
            TRAIN,
            "--config {w}/nowhere.yaml",
            (
                "--config",
                "got {w}/nowhere.yaml, a file that does not exist",
                "a YAML file with options of this command",
            ),
        ),
        Row(
            TRAIN,
            "--config {w}/images",
            ("--config", "got {w}/images, a folder", "a YAML file with options of this command"),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/binary.yaml",
            (
                "--config",
                "got {w}/yaml/binary.yaml, which is no text",
                "a YAML file with options of this command",
            ),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/argument.yaml",
            (
                "--problem",
                "expected an argument of Inpainting, not mask: masks, sigma_y",
                "Did you mean masks?",
            ),
        ),
        Row(
            TRAIN,
            "--config {w}/yaml/deep.yaml",
            (
                "--config",
                "got {w}/yaml/deep.yaml: maximum recursion depth",
                "YAML (spaces, no tabs, to the left of keys)",
            ),
        ),
        Row(
            EVALUATE,
            "--config {w}/yaml/method.yaml",
            (
                "--methods",
                "got DPSS; expected a method that there is",
                "Did you mean DPS or DAPS?",
            ),
        ),
        Row(
            EVALUATE,
            "--config {w}/yaml/methods_empty.yaml",
            ("an evaluation needs at least one method and one sample per image", "got 0 and 1"),
        ),
        Row(
            EVALUATE,
            "--config {w}/yaml/methods_list.yaml",
            ("--methods", "got ['DPS']", "a mapping"),
        ),
        Row(
            EVALUATE,
            "--config {w}/yaml/checkpoint.yaml",
            ("{w}/nowhere does not exist, and no h-transform of that name ships",),
        ),
        Row(
            TRAIN,
            "--config {w}/photo.png",
            (
                "--config",
                "got {w}/photo.png, which is no text",
                "a YAML file with options of this command",
            ),
        ),
        Row(
            "list --config {w}/yaml/unknown.yaml",
            "",
            ("unknown option", "got stepz", "an option of this command (--help shows them)"),
        ),
        Row(
            "demo --config {w}/yaml/unknown.yaml",
            "",
            ("unknown option", "got stepz", "an option of this command (--help shows them)"),
        ),
    ],
    "priors": [
        Row(
            TRAIN,
            "--prior natural-46",
            ("there is no prior 'natural-46'", "did you mean natural-64?"),
        ),
        Row(TRAIN, "--prior {w}/nowhere.safetensors", ("{w}/nowhere.safetensors does not exist",)),
        Row(
            TRAIN,
            "--prior {w}/weights.pt",
            (
                "{w}/weights.pt",
                "a checkpoint of an unknown family, which holds weight",
                "or a checkpoint of one of the families adm",
                "Build the network in Python, load these",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/foreign.safetensors",
            (
                "{w}/foreign.safetensors",
                "a checkpoint of an unknown family, which holds weight",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/photo.png",
            ("--prior", "got {w}/photo.png", "a file of deft (safetensors), or a folder that"),
        ),
        Row(
            TRAIN,
            "--prior {w}/images",
            ("{w}/images holds no network: expected config.json, or unet/config.json",),
        ),
        Row(
            TRAIN,
            "--prior {w}/empty",
            ("{w}/empty holds no network: expected config.json, or unet/config.json",),
        ),
        Row(
            TRAIN,
            "--prior {w}/run/h.safetensors",
            (
                "{w}/run/h.safetensors is a safetensors file but no deft prior",
                "it is a deft h-transform",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/run",
            ("{w}/run holds no network: expected config.json, or unet/config.json",),
        ),
        Row(
            TRAIN,
            "--prior {w}/unet_somewhere/",
            (
                "--prior",
                "got {w}/unet_somewhere/",
                "a file or folder that exists; this one does not",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_alone/unet/config.json",
            (
                "--prior",
                "got {w}/d_alone/unet/config.json",
                "the folder that holds it",
                "Give the folder: {w}/d_alone",
            ),
        ),
    ],
    "damaged priors": [
        Row(
            TRAIN,
            "--prior {w}/flipped.safetensors",
            (
                "{w}/flipped.safetensors is damaged",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/flipped_card.safetensors",
            ("Copy it again from where it came from, or delete", "flipped_card.safetensors"),
        ),
        Row(
            TRAIN,
            "--prior {w}/nan.safetensors",
            (
                "{w}/nan.safetensors",
                "got NaN or infinite values in",
                "finite weights",
                "Get an intact copy, or train again",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/cut.safetensors",
            (
                "{w}/cut.safetensors is truncated within its header",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/empty.safetensors",
            ("{w}/empty.safetensors is empty", "Copy it again from where it came from, or delete"),
        ),
        Row(
            TRAIN,
            "--prior {w}/text.safetensors",
            (
                "{w}/text.safetensors is no safetensors file",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            DEMO,
            "--prior {w}/flipped.safetensors",
            (
                "{w}/flipped.safetensors is damaged",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            SAMPLE,
            "--prior {w}/nan.safetensors",
            (
                "{w}/nan.safetensors",
                "got NaN or infinite values in",
                "finite weights",
                "Get an intact copy, or train again",
            ),
        ),
        Row(
            "inspect {w}/flipped.safetensors",
            "",
            (
                "{w}/flipped.safetensors is damaged",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            "inspect {w}/nan.safetensors",
            "",
            (
                "{w}/nan.safetensors",
                "got NaN or infinite values in",
                "finite weights",
                "Get an intact copy, or train again",
            ),
        ),
        Row(
            "inspect {w}/text.safetensors",
            "",
            (
                "{w}/text.safetensors is no safetensors file",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            EVALUATE,
            "--prior {w}/cut.safetensors",
            (
                "{w}/cut.safetensors is truncated within its header",
                "Copy it again from where it came from, or delete",
            ),
        ),
    ],
    "diffusers folders, schedulers": [
        Row(
            TRAIN,
            "--prior {w}/d_flow",
            (
                "{w}/d_flow/scheduler/scheduler_config.json: beta_",
                "a setting that is known not to change the noise schedule",
                "Give --schedule (and --prediction_type)",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_edm",
            (
                "{w}/d_edm/scheduler/scheduler_config.json: beta_",
                "a setting that is known not to change the noise schedule",
                "Give --schedule (and --prediction_type)",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_unknown",
            (
                "{w}/d_unknown/scheduler/scheduler_config.json: _class_name",
                "got MyScheduler",
                "a scheduler of diffusers that is known here",
                "Did you mean PNDMScheduler or",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_schedule",
            (
                "beta_schedule",
                "got my_schedule",
                "a schedule of betas that diffusers' DDPM knows",
                "Give --schedule (and --prediction_type)",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_prediction",
            (
                "prediction_type",
                "got velocity",
                "one of epsilon, sample, v_prediction",
                "Give --schedule (and --prediction_type)",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_betas",
            (
                "{w}/d_betas/scheduler/scheduler_config.json: beta_end",
                "got 7.0",
                "a number in (0, 1]",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_nan",
            (
                "{w}/d_nan/scheduler/scheduler_config.json is no readable",
                "got NaN",
                "finite numbers",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_alone",
            (
                "{w}/d_alone has no scheduler_config.json",
                "got no noise schedule",
                "that under which the network was trained",
                "Give --schedule, one of linear,",
            ),
        ),
        Row(
            "inspect {w}/d_flow",
            "",
            (
                "{w}/d_flow/scheduler/scheduler_config.json: beta_",
                "a setting that is known not to change the noise schedule",
                "Give --schedule (and --prediction_type)",
            ),
        ),
        Row(
            "inspect {w}/d_alone",
            "",
            (
                "{w}/d_alone has no scheduler_config.json",
                "got no noise schedule",
                "that under which the network was trained",
                "Give --schedule, one of linear,",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_alone --schedule linaer",
            (
                "--schedule",
                "got linaer",
                "one of linear, scaled_linear, cosine",
                "Perhaps linear is meant",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_alone --schedule linear --prediction_type noise",
            (
                "--prediction_type",
                "got noise",
                "one of epsilon, sample, v_prediction, velocity, score",
            ),
        ),
    ],
    "diffusers folders, networks": [
        Row(
            TRAIN,
            "--prior {w}/d_size",
            (
                "d_size: sample_size",
                "got 15",
                "a height and width that the network can take; it",
                "The network said: RuntimeError: Sizes",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_text",
            (
                "{w}/d_text/unet/config.json: layers_per_block",
                "got two",
                "a whole number from 1 to 64",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_class",
            (
                "{w}/d_class holds a PixArtTransformer2DModel",
                "this adapter takes a network of the classes UNet2DModel,",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_embedding",
            (
                "the weights of {w}/d_embedding",
                "got missing 4: ",
                "the weights of the UNet2DModel that config.json",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_json",
            (
                "{w}/d_json/unet/config.json is no readable JSON",
                "got text that is no JSON (Expecting property",
                "JSON",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_cut",
            ("the weights of {w}/d_cut could not be read (OSError", "save or download them again"),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_weights",
            (
                "the weights of {w}/d_weights",
                "got config.json",
                "diffusion_pytorch_model.safetensors, as",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_latent",
            (
                "{w}/d_latent/vqvae/config.json: _class_name",
                "got UNet2DModel",
                "expected AutoencoderKL or AutoencoderTiny or VQModel",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_ema",
            (
                "{w}/d_ema",
                "got several networks: unet, unet_ema",
                "one",
                "Give --subfolder unet_ema, say;",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_half",
            ("d_half", "got NaN or infinite values in", "finite weights"),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_missing",
            (
                "the weights of {w}/d_missing",
                "got missing 1: conv_in.bias (8,)",
                "the weights of the UNet2DModel that config.json",
            ),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_extra",
            (
                "the weights of {w}/d_extra",
                "got not of this network 1: more.weight (2,)",
                "the weights of the UNet2DModel that config.json",
            ),
        ),
    ],
    "what a folder does not say": [
        Row(
            TRAIN,
            "--prior {w}/d_ema --subfolder unet_emma",
            ("--subfolder", "got unet_emma", "one of unet, unet_ema, in {w}/d_ema"),
        ),
        Row(
            TRAIN,
            "--prior {w}/diffusers --subfolder vae",
            ("--subfolder", "got vae", "one of unet, in {w}/diffusers"),
        ),
        Row(
            TRAIN,
            "--subfolder unet",
            (
                "--subfolder",
                "got unet",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --subfolder out",
            ),
        ),
        Row(
            TRAIN,
            "--schedule linear",
            (
                "--schedule",
                "got linear",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --schedule out",
            ),
        ),
        Row(
            TRAIN,
            "--prediction_type epsilon",
            (
                "--prediction_type",
                "got epsilon",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --prediction_type out",
            ),
        ),
        Row(
            "inspect {w}/diffusers --schedule nowhere",
            "",
            ("--schedule", "got nowhere", "one of linear, scaled_linear, cosine"),
        ),
        Row(
            "inspect {w}/diffusers --subfolder nowhere",
            "",
            ("--subfolder", "got nowhere", "one of unet, in {w}/diffusers"),
        ),
        Row(
            "inspect {w}/diffusers --prediction_type x",
            "",
            ("--prediction_type", "got x", "one of epsilon, sample, v_prediction, velocity, score"),
        ),
        Row(
            DEMO,
            "--schedule x",
            (
                "--schedule",
                "got x",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --schedule out",
            ),
        ),
        Row(
            DEMO,
            "--subfolder x",
            (
                "--subfolder",
                "got x",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --subfolder out",
            ),
        ),
    ],
    "labels": [
        Row(
            TRAIN,
            "--prior {w}/d_classes --labels 3",
            ("--labels", "got [3]", "whole numbers from 0 to 2, the classes of"),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_classes --labels -1",
            ("--labels", "got [-1]", "whole numbers from 0 to 2, the classes of"),
        ),
        Row(TRAIN, "--prior {w}/d_classes --labels cat", ("--labels", "got cat", "a whole number")),
        Row(
            TRAIN,
            "--prior {w}/d_classes --labels [0,1,2]",
            ("--labels", "got 3 labels", "one label for all: training draws batches of"),
        ),
        Row(
            TRAIN,
            "--prior {w}/d_classes",
            (
                "--labels",
                "got nothing",
                "the classes to sample, of d_classes: whole",
                "Such as --labels 0",
            ),
        ),
        Row(
            TRAIN,
            "--labels 1",
            (
                "--labels",
                "got [1]",
                "nothing: tiny is unconditional, and takes no",
                "Leave --labels out",
            ),
        ),
        Row(
            SAMPLE,
            "--labels 0",
            (
                "--labels",
                "got [0]",
                "nothing: tiny is unconditional, and takes no",
                "Leave --labels out",
            ),
        ),
        Row(
            EVALUATE,
            "--labels 0",
            (
                "--labels",
                "got [0]",
                "nothing: tiny is unconditional, and takes no",
                "Leave --labels out",
            ),
        ),
        Row(
            DEMO,
            "--labels 0",
            (
                "--labels",
                "got [0]",
                "nothing: tiny is unconditional, and takes no",
                "Leave --labels out",
            ),
        ),
        Row(
            "inspect {w}/tiny.safetensors --labels 1",
            "",
            ("--labels", "got [1]", "nothing: it is not used with", "Leave --labels out"),
        ),
        Row(TRAIN, "--prior {w}/d_classes --labels 1.5", ("--labels", "got 1.5", "a whole number")),
        Row(
            TRAIN,
            "--prior {w}/d_classes --labels []",
            ("--labels", "got []", "whole numbers from 0 to 2, the classes of"),
        ),
    ],
    "h-transforms": [
        Row(
            SAMPLE,
            "--h {w}/nowhere",
            ("{w}/nowhere does not exist, and no h-transform of that name ships",),
        ),
        Row(SAMPLE, "--h {w}/unfinished", ("{w}/unfinished/h.safetensors does not exist",)),
        Row(SAMPLE, "--h {w}/empty", ("{w}/empty/h.safetensors does not exist",)),
        Row(
            SAMPLE,
            "--h {w}/photo.png",
            (
                "{w}/photo.png is no safetensors file",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/tiny.safetensors",
            (
                "{w}/tiny.safetensors is a safetensors file but no deft h-transform",
                "it is a deft prior",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/foreign.safetensors",
            (
                "{w}/foreign.safetensors is a safetensors file but no deft h-transform",
                "it holds no card of this library",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/weights.pt",
            (
                "{w}/weights.pt is a pickle or a torch .pt file",
                "Its weights alone can be read with",
            ),
        ),
        Row(
            SAMPLE,
            "--h h-natural-46-inpainting",
            (
                "h-natural-46-inpainting does not exist, and no h-transform of that",
                "did you mean h-natural-64-inpainting or",
            ),
        ),
        Row(
            SAMPLE,
            "--prior {w}/other.safetensors",
            (
                "{w}/run/h.safetensors was trained for the prior tiny",
                "Give that prior, or train an h-transform for this",
            ),
        ),
        Row(
            SAMPLE,
            "--prior {w}/rgb.safetensors",
            (
                "{w}/run/h.safetensors was trained for the prior tiny",
                "Give that prior, or train an h-transform for this",
            ),
        ),
        Row(
            TRAIN,
            "--initial {w}/super --prior {w}/other.safetensors",
            (
                "{w}/super/h.safetensors was trained for the prior tiny",
                "Give that prior, or train an h-transform for this",
            ),
        ),
        Row(
            TRAIN,
            "--initial {w}/run --h_transform PaperHTransform",
            (
                "{w}/run holds a LearnedHTransform and --h_transform asks for",
                "leave one of the two out",
            ),
        ),
    ],
    "cards of strangers": [
        Row(
            SAMPLE,
            "--h {w}/cards/class.safetensors",
            (
                "{w}/cards/class.safetensors: architecture: class",
                "got evil.H",
                "something of this library, or of a module that",
                "If you trust whoever made the file,",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/wide.safetensors",
            ("LearnedHTransform.channels[0]", "got 200000", "a whole number from 1 to 16384"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/negative.safetensors",
            ("LearnedHTransform.channels[0]", "got -5", "a whole number from 1 to 16384"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/list.safetensors",
            (
                "the card of {w}/cards/list.safetensors: card",
                "got [{'prior_from': '{w}/tiny.safetensors',",
                "an object",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/nested.safetensors",
            (
                "the card of {w}/cards/nested.safetensors: card",
                "got lists or objects nested without end",
                "at most 32 levels",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/level.safetensors",
            (
                "problem: Inpainting.sigma_y",
                "got 10000000000000000000000000000000000000000000",
                "a number between -1e+30 and 1e+30, or a list of",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/physics.safetensors",
            (
                "problem: Deepinv.physics",
                "got http.server.test",
                "nothing that calls deepinv, unless you name it in",
                "If you trust whoever made the file,",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/problem.safetensors",
            (
                "problem: class",
                "got os.system",
                "something of this library, or of a module that",
                "If you trust whoever made the file,",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/elsewhere.safetensors",
            (
                "--prior",
                "got someone/x",
                "a prior that ships, or a local path: what a file",
                "To download it, or to use a copy of",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/text.safetensors",
            (
                "the card of {w}/cards/text.safetensors: card",
                "got text that is no JSON (Expecting value: line",
                "JSON",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/field.safetensors",
            (
                "{w}/cards/field.safetensors: card.architecture",
                "got nothing",
                'a h-transform, as {"class": NAME, "args": {...}}',
            ),
        ),
        Row(
            "inspect {w}/cards/nested.safetensors",
            "",
            (
                "the card of {w}/cards/nested.safetensors: card",
                "got lists or objects nested without end",
                "at most 32 levels",
            ),
        ),
    ],
    "damaged h-transforms": [
        Row(
            SAMPLE,
            "--h {w}/cards/flipped.safetensors",
            (
                "{w}/cards/flipped.safetensors is damaged",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/flipped_card.safetensors",
            ("Copy it again from where it came from, or delete", "flipped_card.safetensors"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/nan.safetensors",
            (
                "{w}/cards/nan.safetensors",
                "got NaN or infinite values in",
                "finite weights",
                "Get an intact copy, or train again",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/missing.safetensors",
            ("nn1.down.0.0.attention.norm.bias", "got nothing", "(4,); 1 of 67 tensors differ"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/shapes.safetensors",
            ("nn1.down.0.0.attention.norm.bias", "got (1,)", "(4,); 64 of 67 tensors differ"),
        ),
        Row(
            "inspect {w}/cards/flipped.safetensors",
            "",
            (
                "{w}/cards/flipped.safetensors is damaged",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            "inspect {w}/cards/nan.safetensors",
            "",
            (
                "{w}/cards/nan.safetensors",
                "got NaN or infinite values in",
                "finite weights",
                "Get an intact copy, or train again",
            ),
        ),
        Row(
            "inspect {w}/cards/flipped_card.safetensors",
            "",
            ("Copy it again from where it came from, or delete", "flipped_card.safetensors"),
        ),
        Row(
            TRAIN,
            "--initial {w}/cards/flipped.safetensors",
            (
                "{w}/cards/flipped.safetensors is damaged",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            TRAIN,
            "--initial {w}/cards/nan.safetensors",
            (
                "{w}/cards/nan.safetensors",
                "got NaN or infinite values in",
                "finite weights",
                "Get an intact copy, or train again",
            ),
        ),
        Row(
            TRAIN,
            "--initial {w}/cards/missing.safetensors",
            ("nn1.down.0.0.attention.norm.bias", "got nothing", "(4,); 1 of 67 tensors differ"),
        ),
        Row(TRAIN, "--initial {w}/empty", ("{w}/empty/h.safetensors does not exist",)),
    ],
    "what is allowed": [
        Row(
            TRAIN,
            "--prior tests.extending.latent.grey",
            (
                "--prior",
                "got tests.extending.latent.grey",
                "in a module that --allow names",
                "--allow tests.extending.latent",
            ),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/physics.safetensors --allow evil",
            ("--allow", "got evil", "a module of your own that can be imported from"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/class.safetensors --allow evil",
            ("--allow", "got evil", "a module of your own that can be imported from"),
        ),
        Row(
            TRAIN,
            "--allow no_module",
            ("--allow", "got no_module", "a module of your own that can be imported from"),
        ),
        Row(
            SAMPLE,
            "--allow no_module",
            ("--allow", "got no_module", "a module of your own that can be imported from"),
        ),
        Row(
            EVALUATE,
            "--allow no_module",
            ("--allow", "got no_module", "a module of your own that can be imported from"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/problem.safetensors --allow os",
            ("class", "got os.system", "a problem, derived from"),
        ),
        Row(
            SAMPLE,
            "--h {w}/cards/physics.safetensors --allow http.server",
            (
                "problem: Deepinv.physics",
                "got http.server.test",
                "nothing that calls deepinv, unless you name it in",
                "If you trust whoever made the file,",
            ),
        ),
    ],
    "folders of images": [
        Row(TRAIN, "--images {w}/nowhere", ("{w}/nowhere does not exist",)),
        Row(
            TRAIN,
            "--images {w}/empty",
            (
                "{w}/empty holds no images (.png, .jpg, .jpeg, .jpe, .jfif, .webp,",
                "it holds nothing",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/texts",
            (
                "{w}/texts holds no images (.png, .jpg, .jpeg, .jpe, .jfif, .webp,",
                "it holds 1 other files (.txt)",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/formats",
            (
                "{w}/formats holds no images (.png, .jpg, .jpeg, .jpe, .jfif, .webp,",
                "it holds 1 other files (.psd)",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/broken",
            (
                "none of the 1 images in {w}/broken can be read",
                "{w}/broken/a.png is truncated or no image (image",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/hidden",
            (
                "{w}/hidden holds no images (.png, .jpg, .jpeg, .jpe, .jfif, .webp,",
                "it holds nothing",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/colour",
            (
                "{w}/colour/00.png has 3 channels (mode RGB) and the prior takes 1",
                "use --convert grey",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/large",
            (
                "{w}/large/00.png is 32 x 32 (height x width) and the prior takes 16 x",
                "use --fit resize (scale, then cut the middle out)",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/wide",
            (
                "{w}/wide/00.png is 16 x 24 (height x width) and the prior takes 16 x",
                "use --fit resize (scale, then cut the middle out)",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/file",
            ("{w}/file is truncated or no image (cannot identify image file",),
        ),
    ],
    "pictures": [
        Row(
            TRAIN,
            "--images {w}/lying",
            ("none of the 1 images in {w}/lying can be read", "name it .npy"),
        ),
        Row(
            TRAIN,
            "--images {w}/huge",
            (
                "{w}/huge/a.png",
                "got 3,600,000,000 pixels",
                "at most 89,478,485",
                "Shrink or cut it first",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/pages",
            (
                "{w}/pages/a.tiff",
                "got 2 pages",
                "one picture in a file",
                "Save each page as a file of its own",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/moving",
            (
                "{w}/moving/a.gif",
                "got 2 pages",
                "one picture in a file",
                "Save each page as a file of its own",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/half --strict",
            (
                "{w}/half/b.png is truncated or no image (image file is truncated (0",
                "To skip such files: --strict false.",
            ),
        ),
        Row(TRAIN, "--images {w}/large --fit grow", ("--fit", "got grow", "one of resize, crop")),
        Row(
            TRAIN,
            "--prior {w}/rgb.safetensors",
            (
                "{w}/images/00.png has 1 channels (mode L) and the prior takes 3",
                "use --convert rgb",
            ),
        ),
        Row(
            SAMPLE,
            "--images {w}/broken",
            (
                "none of the 1 images in {w}/broken can be read",
                "{w}/broken/a.png is truncated or no image (image",
            ),
        ),
        Row(
            EVALUATE,
            "--images {w}/empty",
            (
                "{w}/empty holds no images (.png, .jpg, .jpeg, .jpe, .jfif, .webp,",
                "it holds nothing",
            ),
        ),
        Row(
            DEMO,
            "--images {w}/empty",
            (
                "{w}/empty holds no images (.png, .jpg, .jpeg, .jpe, .jfif, .webp,",
                "it holds nothing",
            ),
        ),
        Row(
            DEMO,
            "--images {w}/one",
            ("{w}/one holds 1 images", "the demo needs at least 8, of which a part is"),
        ),
    ],
    "arrays as images": [
        Row(
            TRAIN, "--images {w}/nan.npy", ("{w}/nan.npy", "the array holds NaN or infinite values")
        ),
        Row(
            TRAIN, "--images {w}/inf.npy", ("{w}/inf.npy", "the array holds NaN or infinite values")
        ),
        Row(
            TRAIN,
            "--images {w}/complex.npy",
            ("{w}/complex.npy", "Hounsfield units need a --window"),
        ),
        Row(TRAIN, "--images {w}/texts.npy", ("{w}/texts.npy", "expected (n, 1, 16, 16)")),
        Row(TRAIN, "--images {w}/none.npy", ("{w}/none.npy", "its shape is (0, 1, 16, 16)")),
        Row(TRAIN, "--images {w}/scalar.npy", ("{w}/scalar.npy", "its shape is ()")),
        Row(TRAIN, "--images {w}/small.npy", ("{w}/small.npy", "expected (n, 1, 16, 16)")),
        Row(TRAIN, "--images {w}/channels.npy", ("{w}/channels.npy", "expected (n, 1, 16, 16)")),
        Row(
            TRAIN,
            "--images {w}/objects.npy",
            (
                "{w}/objects.npy is truncated, or no npy or npz file of numbers",
                "objects are never loaded",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/several.npz",
            ("{w}/several.npz holds 2 arrays (a, b)", "say which with --key a, say"),
        ),
        Row(TRAIN, "--images {w}/nothing.npz", ("{w}/nothing.npz holds no array",)),
        Row(
            TRAIN,
            "--images {w}/half.npy",
            (
                "{w}/half.npy is truncated, or no npy or npz file of numbers",
                "mmap length is greater than file size",
            ),
        ),
    ],
    "arrays, more": [
        Row(
            TRAIN,
            "--images {w}/text.npy",
            (
                "{w}/text.npy is truncated, or no npy or npz file of numbers",
                "objects are never loaded",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/half_archive.npz",
            (
                "{w}/half_archive.npz is truncated, or no npy or npz file of numbers",
                "File is not a zip file",
            ),
        ),
        Row(TRAIN, "--images {w}/int64.npy", ("{w}/int64.npy", "Hounsfield units need a --window")),
        Row(TRAIN, "--images {w}/bool.npy", ("{w}/bool.npy", "Hounsfield units need a --window")),
        Row(TRAIN, "--images {w}/flat.npy", ("{w}/flat.npy", "expected (n, 1, 16, 16)")),
        Row(
            TRAIN,
            "--images {w}/bytes.npy",
            ("{w}/bytes.npy", "say the range that they are in (--value_range),"),
        ),
        Row(
            TRAIN,
            "--images {w}/outside.npy",
            ("{w}/outside.npy", "say the range that they are in (--value_range),"),
        ),
        Row(
            TRAIN,
            "--images {w}/several.npz --key c",
            ("{w}/several.npz holds no array 'c'", "it holds a, b"),
        ),
        Row(
            TRAIN,
            "--images {w}/good.npy --key a",
            ("--key", "got a", "nothing: {w}/good.npy holds one array", "Leave --key out"),
        ),
        Row(
            TRAIN,
            "--images {w}/images --key a",
            (
                "--key",
                "got a",
                "nothing: {w}/images holds pictures, whose whole",
                "Leave --key out",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/several.npz --key c",
            ("{w}/several.npz holds no array 'c'", "it holds a, b"),
        ),
        Row(
            MEASURED,
            "--measurements {w}/good.npy --key a",
            ("--key", "got a", "nothing: {w}/good.npy holds one array", "Leave --key out"),
        ),
    ],
    "measurements": [
        Row(MEASURED, "--measurements {w}/nowhere", ("{w}/nowhere does not exist",)),
        Row(
            MEASURED,
            "--measurements {w}/empty",
            (
                "{w}/empty holds no measurements (.npy, .npz, .png, .jpg, .jpeg, .jpe,",
                "it holds nothing",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/nan.npy",
            ("the measurement 00000 holds NaN or infinite values", "mend it, or take it away"),
        ),
        Row(
            MEASURED,
            "--measurements {w}/inf.npy",
            ("the measurement 00000 holds NaN or infinite values", "mend it, or take it away"),
        ),
        Row(
            MEASURED,
            "--measurements {w}/complex.npy",
            ("a measurement holds floating-point, uint8 or uint16 values", "got complex64"),
        ),
        Row(
            MEASURED,
            "--measurements {w}/none.npy",
            (
                "--measurements {w}/none.npy",
                "got an array of shape (0, 1, 16, 16)",
                "(n, ...), one row for each measurement",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/scalar.npy",
            (
                "--measurements {w}/scalar.npy",
                "got an array of shape ()",
                "(n, ...), one row for each measurement",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/small.npy",
            (
                "the measurement 00000",
                "got shape (1, 16, 8)",
                "(1, 16, 16), what this problem measures",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/channels.npy",
            (
                "the measurement 00000",
                "got shape (3, 16, 16)",
                "(1, 16, 16), what this problem measures",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/outside.npy",
            (
                "the measurements have values in [7, 7] and tiny takes [-1, 1]",
                "--value_range [0,255] converts them,",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/objects.npy",
            (
                "{w}/objects.npy is truncated, or no npy or npz file of numbers",
                "objects are never loaded",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/colour",
            (
                "{w}/colour/00.png is an image of mode RGB, and the measurements",
                "use --convert grey, or an npy file",
            ),
        ),
    ],
    "measurements, more": [
        Row(
            MEASURED,
            "--measurements {w}/texts",
            (
                "{w}/texts holds no measurements (.npy, .npz, .png, .jpg, .jpeg, .jpe,",
                "it holds 1 other files (.txt)",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/half.npy",
            (
                "{w}/half.npy is truncated, or no npy or npz file of numbers",
                "mmap length is greater than file size",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/several.npz",
            ("{w}/several.npz holds 2 arrays (a, b)", "say which with --key a, say"),
        ),
        Row(
            MEASURED,
            "--measurements {w}/large --tile off",
            (
                "the measurement 00",
                "got shape (1, 32, 32)",
                "(1, 16, 16), what this problem measures",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/bytes.npy",
            (
                "the measurements have values in [200, 200] and tiny takes [-1, 1]",
                "--value_range [0,255] converts them,",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/broken",
            ("{w}/broken/a.png is truncated or no image (image file is truncated (0",),
        ),
        Row(
            MEASURED,
            "--measurements {w}/pages",
            (
                "{w}/pages/a.tiff",
                "got 2 pages",
                "one picture in a file",
                "Save each page as a file of its own",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/same",
            (
                "results of several files in {w}/same would be called sub-b-png",
                "rename one of them",
            ),
        ),
        Row(
            MEASURED,
            "--measurements {w}/nan_folder",
            ("the measurement 00 holds NaN or infinite values", "mend it, or take it away"),
        ),
        Row(MEASURED, "--measurements {w}/photo.webp", ("{w}/photo.webp does not exist",)),
        Row(
            MEASURED,
            "--measurements {w}/file",
            ("{w}/file is truncated or no image (cannot identify image file",),
        ),
        Row(
            MEASURED,
            "--measurements {w}/flat.npy",
            (
                "the measurement 00000",
                "got shape (256,)",
                "(1, 16, 16), what this problem measures",
            ),
        ),
    ],
    "masks": [
        Row(
            MEASURED,
            "--masks {w}/nowhere.png",
            ("--masks {w}/nowhere.png", "there is no such file or folder"),
        ),
        Row(
            MEASURED,
            "--masks {w}/masks_other",
            (
                "there is no mask for the measurement 00 and 1 more",
                "got elsewhere",
                "a picture with the name of each measurement, or",
            ),
        ),
        Row(
            MEASURED,
            "--masks {w}/masks_empty",
            ("{w}/masks_empty holds no masks (.npy, .npz, .png,", "it holds nothing"),
        ),
        Row(
            MEASURED,
            "--masks {w}/mask_nan.npy",
            ("the mask {w}/mask_nan.npy", "got values in [nan, nan]", "0 and 1, or 0 to 1"),
        ),
        Row(
            MEASURED,
            "--masks {w}/mask_shape.npy",
            (
                "the mask {w}/mask_shape.npy",
                "got float32 values of shape (3, 4, 16, 16)",
                "one number a place, (height, width)",
            ),
        ),
        Row(
            MEASURED,
            "--masks {w}/mask_half.npy",
            (
                "the mask {w}/mask_half.npy",
                "got values between black and white at 100% of",
                "white (1) where observed, black (0) where missing",
                "A photograph is no mask: save one of",
            ),
        ),
        Row(
            MEASURED,
            "--masks {w}/mask_grey.png",
            (
                "the mask {w}/mask_grey.png",
                "got values between black and white at 95% of",
                "white (1) where observed, black (0) where missing",
                "A photograph is no mask: save one of",
            ),
        ),
        Row(
            MEASURED,
            "--masks {w}/mask_small.png",
            (
                "the mask {w}/mask_small.png",
                "got 8 x 8 (height x width)",
                "16 x 16, the size of the signal",
                "Resize it without smoothing (nearest",
            ),
        ),
        Row(
            MEASURED,
            "--masks {w}/mask_colour.png",
            (
                "50% of the mask {w}/mask_colour.png are grey",
                "at least half of the brightness counts as",
            ),
            status=0,
        ),
        Row(
            MEASURED,
            "--masks {w}/mask_broken.png",
            ("{w}/mask_broken.png is truncated or no image (cannot identify image",),
        ),
        Row(
            MEASURED,
            "--masks {w}/file",
            ("{w}/file is truncated or no image (cannot identify image file",),
        ),
        Row(
            MEASURED,
            "--invert_masks",
            (
                "--invert_masks",
                "got true",
                "nothing: it is not used without --masks",
                "Leave --invert_masks out",
            ),
        ),
    ],
    "masks that say nothing": [
        Row(
            MEASURED,
            "--masks {w}/mask_nothing.png",
            (
                "the mask {w}/mask_nothing.png",
                "got no place that is observed",
                "white (1) where observed, black (0) where missing",
                "Use --invert_masks true if it is the",
            ),
        ),
        Row(
            MEASURED,
            "--masks {w}/mask_all.png --invert_masks",
            (
                "the mask {w}/mask_all.png",
                "got no place that is observed",
                "white (1) where observed, black (0) where missing",
                "Use --invert_masks true if it is the",
            ),
        ),
        Row(
            TRAIN,
            "--problem.masks {w}/masks_nothing",
            (
                "--problem.masks",
                "got {w}/masks_nothing",
                "one of freeform, box, random, half",
                "Masks of your own are",
            ),
        ),
        Row(
            TRAIN,
            "--problem.masks {w}/masks_empty",
            (
                "--problem.masks",
                "got {w}/masks_empty",
                "one of freeform, box, random, half",
                "Masks of your own are",
            ),
        ),
        Row(
            TRAIN,
            "--problem.masks {w}/nowhere",
            (
                "--problem.masks",
                "got {w}/nowhere",
                "one of freeform, box, random, half",
                "Masks of your own are",
            ),
        ),
        Row(
            TRAIN,
            "--problem.masks {w}/mask_small.png",
            (
                "--problem.masks",
                "got {w}/mask_small.png",
                "one of freeform, box, random, half",
                "Masks of your own are",
            ),
        ),
        Row(
            MEASURED,
            "--h {w}/super --masks {w}/mask.png",
            (
                "--masks",
                "got {w}/mask.png",
                "nothing: SuperResolution has no masks",
                "Leave --masks out, or give an",
            ),
        ),
        Row(
            MEASURED,
            "--masks {w}/masks_nothing",
            (
                "there is no mask for the measurement 00 and 1 more",
                "got a",
                "a picture with the name of each measurement, or",
            ),
        ),
        Row(
            TRAIN,
            "--problem.masks MaskFiles --problem.masks.folder {w}/two",
            (
                "the mask {w}/two/00.png",
                "got values between black and white",
                "white (1) where observed",
                "A photograph is no mask",
            ),
        ),
        Row(
            TRAIN,
            "--problem.masks MaskFiles --problem.masks.folder {w}/elsewhere",
            ("{w}/elsewhere does not exist",),
        ),
        Row(
            TRAIN,
            "--problem.masks MaskFiles --problem.masks.folder {w}/masks_nothing",
            ("the mask", "got no place that is observed"),
        ),
    ],
    "options without use": [
        Row(
            SAMPLE,
            "--masks {w}/mask.png",
            (
                "--masks",
                "got {w}/mask.png",
                "nothing: it is not used with --images, which are",
                "Leave --masks out",
            ),
        ),
        Row(
            SAMPLE,
            "--sigma_y 0.5",
            (
                "--sigma_y",
                "got 0.5",
                "nothing: it is not used with --images, which are",
                "Leave --sigma_y out",
            ),
        ),
        Row(
            SAMPLE,
            "--invert_masks",
            (
                "--invert_masks",
                "got true",
                "nothing: it is not used with --images, which are",
                "Leave --invert_masks out",
            ),
        ),
        Row(
            MEASURED,
            "--fit resize",
            (
                "--fit",
                "got resize",
                "nothing: it is not used with --measurements,",
                "Leave --fit out",
            ),
        ),
        Row(
            MEASURED,
            "--window chest",
            (
                "--window",
                "got chest",
                "nothing: it is not used with --measurements,",
                "Leave --window out",
            ),
        ),
        Row(
            MEASURED,
            "--series 1",
            (
                "--series",
                "got 1",
                "nothing: it is not used with --measurements,",
                "Leave --series out",
            ),
        ),
        Row(
            TRAIN,
            "--value_range [0,1]",
            (
                "--value_range",
                "got (0.0, 1.0)",
                "nothing: {w}/images holds pictures, whose whole",
                "Leave --value_range out",
            ),
        ),
        Row(
            TRAIN,
            "--series 1",
            (
                "--series",
                "got 1",
                "nothing: {w}/images holds no DICOM series",
                "Leave --series out",
            ),
        ),
        Row(TRAIN, "--window chest", ("a window is for CT slices", "{w}/images is neither")),
        Row(
            SAMPLE,
            "--steps 5 --sampler Heun",
            ("--sampler.steps", "got nothing", "a value: Heun needs it"),
        ),
        Row(TRAIN, "--convert grey", ("--convert had nothing to do", "every image in"), status=0),
    ],
    "options that contradict": [
        Row(
            SAMPLE,
            "--method DPS",
            ("say how to condition", "either --h FILE, or --method such as DPS"),
        ),
        Row(
            MEASURED,
            "--images {w}/two",
            ("say what to condition on", "either --measurements, or --images with a problem"),
        ),
        Row(
            "sample --images {w}/two --out out",
            "",
            ("say how to condition", "either --h FILE, or --method such as DPS"),
        ),
        Row(
            "sample --h {w}/run --out out",
            "",
            ("say what to condition on", "either --measurements, or --images with a problem"),
        ),
        Row(
            "sample --method DPS --images {w}/two --out out",
            "",
            ("say which prior", "--prior NAME"),
        ),
        Row(
            "sample --method DPS --prior {w}/tiny.safetensors --images {w}/two --out out",
            "",
            ("say what is measured", "--problem, such as --problem Inpainting"),
        ),
        Row(
            MEASURED,
            "--h {w}/ranged",
            (
                "the problem draws sigma_y between 0.02 and 0.1",
                "say that of these measurements with --sigma_y",
            ),
        ),
        Row(
            TRAIN,
            "--validation_share 0.3 --validation_images {w}/two",
            (
                "--validation_share",
                "got 0.3",
                "nothing: it is not used with --validation_images",
                "Leave --validation_share out",
            ),
        ),
        Row(
            TRAIN,
            "--slopes 1",
            (
                "--slopes measures on two training images or more, 32 say",
                "got 1, with 8 images to train on",
            ),
        ),
        Row(
            TRAIN,
            "--patience 3",
            (
                "--patience",
                "got 3",
                "nothing, without images to validate with: it",
                "Give --validation_images or",
            ),
        ),
        Row(
            WITHOUT,
            "--method DPS --steps 5",
            (
                "--steps",
                "got 5",
                "nothing: it is not used with --method, which has",
                "Leave --steps out",
            ),
        ),
        Row(
            WITHOUT,
            "--method DPS --sampler Heun",
            ("--sampler.steps", "got nothing", "a value: Heun needs it"),
        ),
    ],
    "where results go": [
        Row(TRAIN, "--out {w}/file", ("--out", "got {w}/file, a file", "a folder, or nothing yet")),
        Row(
            SAMPLE, "--out {w}/file", ("--out", "got {w}/file, a file", "a folder, or nothing yet")
        ),
        Row(
            EVALUATE,
            "--out {w}/file",
            ("--out", "got {w}/file, a file", "a folder, or nothing yet"),
        ),
        Row(DEMO, "--out {w}/file", ("--out", "got {w}/file, a file", "a folder, or nothing yet")),
        Row(
            TRAIN,
            "--out {w}/images/run",
            (
                "--out",
                "got {w}/images/run",
                "a folder outside of {w}/images, whose files are",
                "Results would be taken for images in a",
            ),
        ),
        Row(
            SAMPLE,
            "--out {w}/two/results",
            (
                "--out",
                "got {w}/two/results",
                "a folder outside of {w}/two, whose files are read",
                "Results would be taken for images in a",
            ),
        ),
        Row(
            EVALUATE,
            "--out {w}/two",
            (
                "--out",
                "got {w}/two",
                "a folder outside of {w}/two, whose files are read",
                "Results would be taken for images in a",
            ),
        ),
        Row(
            MEASURED,
            "--out {w}/two",
            (
                "--out",
                "got {w}/two",
                "a folder outside of {w}/two, whose files are read",
                "Results would be taken for images in a",
            ),
        ),
        Row(
            DEMO,
            "--out {w}/images",
            (
                "--out",
                "got {w}/images",
                "a folder outside of {w}/images, whose files are",
                "Results would be taken for images in a",
            ),
        ),
        Row(
            TRAIN,
            "--out {w}/file/below",
            ("--out", "got {w}/file/below, where {w}/file is a file", "a folder, or nothing yet"),
        ),
        Row(
            EVALUATE,
            "--out {w}/results",
            (
                "--out",
                "got {w}/results",
                "a folder without a results.json that is not of an",
                "Use another folder",
            ),
        ),
    ],
    "methods": [
        Row(
            WITHOUT,
            "--method DPS --method.steps 0",
            ("--method.steps", "got 0", "a whole number from 1 to 1,000,000, at least one"),
        ),
        Row(
            WITHOUT,
            "--method DPS --method.eta 3",
            ("--method.eta", "got 3.0", "a number in [0, 1], from 0 (deterministic) to 1"),
        ),
        Row(
            WITHOUT,
            "--method PiGDM --method.scale 0",
            ("--method.scale", "got 0.0", "a finite number > 0, the standard deviation of"),
        ),
        Row(
            WITHOUT,
            "--method MMPS --method.iterations 0",
            ("--method.iterations", "got 0", "a whole number >= 1, of conjugate gradients in"),
        ),
        Row(
            WITHOUT,
            "--method LGD --method.points 0",
            ("--method.points", "got 0", "a whole number >= 1, drawn around the estimate"),
        ),
        Row(
            WITHOUT,
            "--method DDNMPlus --method.eta -1",
            ("--method.eta", "got -1.0", "a number in [0, 1], the share of fresh noise"),
        ),
        Row(
            WITHOUT,
            "--method DiffPIR --method.zeta 2",
            ("--method.zeta", "got 2.0", "a number in [0, 1], the share of fresh noise"),
        ),
        Row(
            WITHOUT,
            "--method DAPS --method.step_size -1",
            ("--method.step_size", "got -1.0", "a finite number > 0"),
        ),
        Row(
            WITHOUT,
            "--method TwistedSMC --method.particles 1",
            ("--method.particles", "got 1", "a whole number >= 2, at least two particles of a"),
        ),
        Row(
            WITHOUT,
            "--method REDDiff --method.weight -1",
            ("--method.weight", "got -1.0", "a finite number >= 0, the paper's lambda"),
        ),
        Row(
            WITHOUT,
            "--method Replacement --method.jump_length 0",
            ("--method.jump_length", "got 0", "a whole number >= 1, the steps that a jump goes"),
        ),
        Row(
            WITHOUT,
            "--method DEFT --method.checkpoint nowhere",
            ("nowhere does not exist, and no h-transform of that name ships (deft",),
        ),
    ],
    "methods that do not fit": [
        Row(
            WITHOUT.replace("Inpainting --problem.masks box", "HighDynamicRange"),
            "--method PiGDM",
            (
                "samples: PiGDM needs a linear operator",
                "got HighDynamicRange",
                "a LinearOperator, with its adjoint and",
                "Use LearnedHTransform, DPS, the sampler",
            ),
        ),
        Row(
            WITHOUT.replace("Inpainting --problem.masks box", "HighDynamicRange"),
            "--method DDRM",
            (
                "DDRM needs the singular values of the operator; HighDynamicR",
                "got HighDynamicRange",
                "a SpectralOperator",
                "Use LearnedHTransform, DPS, the sampler",
            ),
        ),
        Row(
            WITHOUT.replace("sigma_y 0.05", "sigma_y 0"),
            "--method TwistedSMC",
            (
                "TwistedSMC needs a density p(y | x_0), and a measurement wit",
                "got sigma_y = 0 (observation 0)",
                "a sigma_y > 0",
                "Give the noise that there is, or sample",
            ),
        ),
        Row(
            WITHOUT,
            "--method DPS --method.zeta 0",
            ("DPS says nothing here", "use LearnedHTransform, DDNM, PiGDM, the sampler"),
            status=0,
        ),
        Row(
            WITHOUT,
            "--method DEFT --method.checkpoint {w}/super",
            (
                "{w}/super/h.safetensors was trained for SuperResolution(factor=2,",
                "Train one for this problem",
            ),
        ),
        Row(
            WITHOUT,
            "--method deft.DPS",
            ("--method", "got deft.DPS", "a method", "Say --method DPS"),
        ),
        Row(
            WITHOUT,
            "--method Given",
            ("--method.h_transform", "got nothing", "a value: Given needs it"),
        ),
        Row(
            EVALUATE,
            "--reference Best",
            ("the reference 'Best' is none of the methods Prior, DPS",),
        ),
        Row(
            EVALUATE,
            "--weights.lpips {w}/weights.pt",
            ("LPIPS needs two files", "--weights.lpips_heads, its linear", "one was given"),
        ),
        Row(
            EVALUATE,
            "--weights.judge {w}/nowhere.pt",
            ("there is no judge {w}/nowhere.pt", "Give efficientnet-lite0"),
        ),
        Row(
            EVALUATE,
            "--weights.features {w}/nowhere.pt",
            (
                "there is no weights file {w}/nowhere.pt",
                "nothing is downloaded, give the path of a file",
            ),
        ),
        Row(
            EVALUATE,
            "--weights.lpips_heads {w}/nowhere.pt",
            ("LPIPS needs two files", "--weights.lpips_heads, its linear", "one was given"),
        ),
    ],
    "samplers": [
        Row(
            EVALUATE,
            "--paths 1",
            ("--paths", "got 1", "at least 2, the paths of each image that are", "Use 0 for none"),
        ),
        Row(
            SAMPLE,
            "--sampler DDIM --sampler.steps 0",
            ("--sampler.steps", "got 0", "a whole number from 1 to 1,000,000, at least one"),
        ),
        Row(
            SAMPLE,
            "--sampler DDIM --sampler.eta 2",
            ("--sampler.steps", "got nothing", "a value: DDIM needs it"),
        ),
        Row(
            SAMPLE,
            "--sampler Heun --sampler.steps x",
            ("--sampler.steps", "got x", "a whole number"),
        ),
        Row(
            SAMPLE,
            "--sampler DDIM --sampler.grid Nothing",
            (
                "--sampler.grid",
                "got Nothing",
                "got Nothing; expected a time grid that there is",
                "Deft list --kind time-grids shows what there is",
            ),
        ),
        Row(
            SAMPLE,
            "--sampler DPS",
            (
                "--sampler",
                "got DPS",
                "got DPS; expected a sampler that there is",
                "DPS is a method, so say --method DPS",
            ),
        ),
        Row(
            SAMPLE,
            "--sampler DDIM --sampler.speed 3",
            ("--sampler", "expected an argument of DDIM, not speed: steps, eta, grid"),
        ),
        Row(
            SAMPLE,
            "--sampler DAPS --sampler.langevin_steps 0",
            ("--sampler", "got DAPS", "DAPS is a method, so say --method DAPS"),
        ),
        Row(
            SAMPLE,
            "--sampler Heun --sampler.steps 4",
            (
                "--steps",
                "got 2",
                "nothing: it is not used with --sampler, which has",
                "Leave --steps out",
            ),
        ),
        Row(
            SAMPLE,
            "--sampler Replacement --sampler.resamplings 0",
            (
                "--sampler",
                "got Replacement",
                "Replacement is a method, so say --method Replacement",
            ),
        ),
        Row(
            SAMPLE,
            "--sampler DiffPIR --sampler.weight 0",
            ("--sampler", "got DiffPIR", "DiffPIR is a method, so say --method DiffPIR"),
        ),
        Row(
            SAMPLE,
            "--sampler REDDiff --sampler.learning_rate 0",
            ("--sampler", "got REDDiff", "REDDiff is a method, so say --method REDDiff"),
        ),
    ],
    "few steps": [
        Row(
            SAMPLE,
            "--sampler UniPC --sampler.steps 4 --sampler.order 4",
            ("--sampler.order", "got 4", "a whole number from 1 to 3"),
        ),
        Row(
            SAMPLE,
            "--sampler UniPC --sampler.steps 4 --sampler.variant bh3",
            ("--sampler.variant", "got bh3", "one of exact, bh1, bh2"),
        ),
        Row(
            SAMPLE,
            "--sampler DPMSolver --sampler.steps 4 --sampler.order 3 --sampler.eta 0.5",
            ("--sampler.eta", "got 0.5", "0 with --sampler.order 3", "Use --sampler.order 2"),
        ),
        Row(
            SAMPLE,
            "--sampler DPMSolver --sampler.steps 4 --sampler.eta 2",
            ("--sampler.eta", "got 2", "a number in [0, 1]"),
        ),
        Row(
            SAMPLE,
            "--sampler ConjugateIntegrator --sampler.steps 4 --sampler.order 0",
            ("--sampler.order", "got 0", "a whole number from 1 to 3"),
        ),
        Row(
            SAMPLE,
            "--sampler UniPC --sampler.steps 3 --sampler.grid LogSNRCurve "
            "--sampler.grid.values [3,1]",
            ("--sampler.grid", "got [3.0, 1.0]", "rising log-SNRs"),
        ),
        Row(
            SAMPLE,
            "--sampler UniPC --sampler.steps 3 --sampler.grid LogSNRCurve "
            "--sampler.grid.values [0,.nan]",
            ("--sampler.grid", "got nan", "a finite number"),
        ),
        Row(
            SAMPLE,
            "--sampler UniPC --sampler.steps 3 --sampler.grid LogSNRCurve",
            ("--sampler.grid", "got nothing", "needs it"),
        ),
        Row(
            SAMPLE,
            "--sampler DPMSolver --sampler.steps 4 --sampler.grid Karras --sampler.grid.rho 0",
            ("--sampler.grid", "got 0", "a finite number >= 1"),
        ),
        Row(
            SAMPLE,
            "--sampler Informed --sampler.sampler DPMSolver --sampler.sampler.steps 4 "
            "--sampler.log_snr .nan",
            ("--sampler.log_snr", "got nan", "a finite number"),
        ),
        Row(
            SAMPLE.replace(" --steps 2", ""),
            "--sampler Informed --sampler.sampler DPMSolver --sampler.sampler.steps 4 "
            "--sampler.log_snr 8",
            (
                "--sampler.log_snr: got 8",
                "that of the grid's second evaluation",
                "UniformLogSNR(low=8)",
            ),
        ),
        Row(SAMPLE, "--sampler Informed", ("--sampler.sampler", "got nothing", "needs it")),
    ],
    "problems": [
        Row(
            TRAIN,
            "--problem SuperResolution --problem.factor 3",
            (
                "--problem.factor: got 3",
                "a number that divides the sizes of the signals, (16, 16)",
                "Crop to 15 x 15, or use a factor of 2,",
            ),
        ),
        Row(
            TRAIN,
            "--problem SuperResolution --problem.factor 0",
            ("--problem.factor", "got 0", "a whole number >= 1, how many places an average"),
        ),
        Row(
            TRAIN,
            "--problem SuperResolution --problem.factor 1.5",
            ("--problem.factor", "got 1.5", "a whole number"),
        ),
        Row(
            TRAIN,
            "--problem Deblurring --problem.kernel nothing",
            ("--problem.kernel", "got nothing", "one of gaussian, motion", "Did you mean motion?"),
        ),
        Row(
            TRAIN,
            "--problem Tomography --problem.views 0",
            ("--problem.views", "got 0", "a number of views of a scan, at least one"),
        ),
        Row(
            TRAIN,
            "--problem Tomography --problem.views 2.5",
            ("--problem.views", "got 2.5", "a whole number"),
        ),
        Row(
            TRAIN,
            "--problem Tomography --problem.span 0",
            (
                "--problem.span",
                "got 0.0",
                "degrees, not 0",
                "180 is all of a parallel beam, 360 of a",
            ),
        ),
        Row(
            TRAIN,
            "--problem Tomography --problem.fan [nan,1]",
            ("--problem.fan", "got nan", "a finite number"),
        ),
        Row(
            TRAIN,
            "--problem PhaseRetrieval --problem.oversampling 0.5",
            ("--problem", "expected an argument of PhaseRetrieval, not oversampling:"),
        ),
        Row(
            TRAIN,
            "--problem MRI --problem.acceleration 0",
            ("--problem", "expected an argument of MRI, not acceleration: masks, sigma_y"),
        ),
        Row(
            TRAIN,
            "--problem Deepinv --problem.physics http.server.test",
            (
                "--problem.physics",
                "got http.server.test",
                "a function of yours that makes a physics; this",
                "Nothing was called",
            ),
        ),
        Row(
            TRAIN,
            "--problem Colorization",
            (
                "--problem",
                "got Colorization; expected a problem that there is",
                "Did you mean Colourisation?",
            ),
        ),
    ],
    "problems, more": [
        Row(TRAIN, "--problem", ("--problem", "got nothing", "a value")),
        Row(
            TRAIN,
            "--problem.masks random --problem.masks.share 2",
            (
                "--problem.masks",
                "got random; expected a kind of masks that there is",
                "Deft list --kind masks shows what there is",
            ),
        ),
        Row(
            TRAIN,
            "--problem Inpainting --problem.masks {}",
            ("--problem.masks", "got {}", "a text"),
        ),
        Row(
            TRAIN,
            "--problem deft",
            (
                "--problem",
                "got deft; expected a problem that there is",
                "Deft list --kind problems shows what there is",
            ),
        ),
        Row(
            TRAIN,
            "--problem os.system",
            ("--problem", "got os.system", "a problem", "Deft list shows what there is for"),
        ),
        Row(
            TRAIN,
            "--problem Denoising --problem.masks box",
            ("--problem", "expected an argument of Denoising, not masks: sigma_y"),
        ),
        Row(
            TRAIN,
            "--problem NonlinearBlur --problem.strength -1",
            ("--problem", "expected an argument of NonlinearBlur, not strength: kernel,"),
        ),
        Row(
            TRAIN,
            "--problem HighDynamicRange --problem.factor 0",
            ("--problem.factor", "got 0.0", "a finite number > 0, how much too long the"),
        ),
        Row(
            TRAIN,
            "--problem Tomography --problem.photons -5",
            ("--problem.photons", "got -5.0", "the number of photons that is sent along each"),
        ),
        Row(
            TRAIN,
            "--problem Tomography --problem.detectors 3.5",
            ("--problem.detectors", "got 3.5", "a whole number"),
        ),
        Row(
            TRAIN,
            "--problem Inpainting --problem.masks box --problem.masks box2",
            (
                "--problem.masks",
                "got box2",
                "one of freeform, box, random, half",
                "Did you mean box?",
            ),
        ),
    ],
    "CT slices": [
        Row(
            CT,
            "--images {w}/ct_large",
            (
                "{w}/ct_large holds slices of 32 x 32 and the prior takes 16 x 16",
                "--fit resize averages whole blocks down to it",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct_no_unit",
            (
                "{w}/ct_no_unit/0.dcm has no RescaleSlope, so that its values have no",
                "Export the series with its rescale tags",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct_other_unit",
            (
                "{w}/ct_other_unit/0.dcm says that its values are 'US'",
                "Units in a series are not mixed, nor guessed",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct_no_place",
            (
                "{w}/ct_no_place/1.dcm has no ImagePositionPatient",
                "got 2 slices with a position and 1 without",
                "a position for every slice of a series, or for",
                "Without it their order is not known;",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct_turned",
            (
                "the series 1.2.3 of patient P1 has more than one orientation",
                "got (1, 0, 0, 0, 1, 0) and (0, 1, 0, 1, 0, 0)",
                "one orientation for all slices of a series",
                "Give each a folder of its own, and read",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct_spacing",
            (
                "the pixels of series 1.2.3 are not square",
                "got PixelSpacing 0.5 x 1 mm",
                "the same spacing between rows and columns",
                "Resample the series to square pixels,",
            ),
        ),
        Row(CT, "--images {w}/ct_localizer", ("{w}/ct_localizer", "1 localizer (0.dcm)"), status=0),
        Row(
            CT,
            "--images {w}/ct_two",
            (
                "{w}/ct_two holds several series of one study (patient P1)",
                "got 2 series",
                "one of these for each study: 1.2.3 (3 slices, 16",
                "Name it with --series 1.2.3, take each",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct_mr",
            (
                "{w}/ct_mr holds no CT slices that can be read, but 3 of the modality",
                "Hounsfield units are defined for CT slices",
            ),
        ),
        Row(
            CT.replace(" --problem.window [-1000,1500]", ""),
            "--images {w}/hu.npy",
            ("{w}/hu.npy", "Hounsfield units need a --window"),
        ),
        Row(CT, "--images {w}/stored.npy", ("{w}/stored.npy", "[-1000, 1500]")),
    ],
    "CT slices, more": [
        Row(
            CT,
            "--images {w}/ct_foreign --strict",
            (
                "{w}/ct_foreign/broken.dcm",
                "got object without an image",
                "CT slices alone, each once",
                "To skip such files: --strict false.",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct_foreign",
            ("{w}/ct_foreign", "1 object without an image (broken.dcm)"),
            status=0,
        ),
        Row(
            CT,
            "--images {w}/ct --series 7",
            (
                "unknown series",
                "got 7",
                "one of those in {w}/ct: 1.2.3 (3 slices, 16 x 16)",
                "Use its UID or description",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct_two --series chest",
            (
                "unknown series",
                "got chest",
                "one of those in {w}/ct_two: 1.2.3 (3 slices, 16 x",
                "Use its UID or description",
            ),
        ),
        Row(
            CT,
            "--images {w}/hu.npy --series 1",
            (
                "--series",
                "got 1",
                "nothing: {w}/hu.npy holds no DICOM series",
                "Leave --series out",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/ct",
            (
                "{w}/ct holds CT slices in Hounsfield units",
                "say with --window what the prior's range means in",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct --convert grey",
            (
                "CT slices are neither converted nor cropped, and their values are",
                "{w}/ct takes --fit resize alone",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct --value_range [0,1]",
            (
                "CT slices are neither converted nor cropped, and their values are",
                "{w}/ct takes --fit resize alone",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct --key a",
            (
                "--key",
                "got a",
                "the name of an array of an npz file",
                "{w}/ct is none; leave it out",
            ),
        ),
        Row(
            CT,
            "--images {w}/ct_large --fit crop",
            (
                "CT slices are neither converted nor cropped, and their values are",
                "{w}/ct_large takes --fit resize alone",
            ),
        ),
        Row(
            MEASURED.replace("{w}/run", "{w}/views"),
            "--measurements {w}/good.npy",
            (
                "the measurement 00000",
                "got shape (1, 16, 16)",
                "(1, 8, 23), what this problem measures",
            ),
        ),
    ],
    "nothing of that name": [
        Row(
            TRAIN,
            "--objective DenoisingScore",
            (
                "'DenoisingScore' is none of the objectives",
                "did you mean DenoisingScoreMatching?",
            ),
        ),
        Row(
            "inspect {w}/nowhere",
            "",
            ("prior", "got {w}/nowhere", "a file or folder that exists; this one does not"),
        ),
        Row(
            "inspect {w}/empty",
            "",
            ("{w}/empty holds no network: expected config.json, or unet/config.json",),
        ),
        Row(
            "inspect {w}/photo.png",
            "",
            (
                "{w}/photo.png is no safetensors file",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            "inspect {w}/good.npy",
            "",
            (
                "{w}/good.npy is no safetensors file",
                "Copy it again from where it came from, or delete",
            ),
        ),
        Row(
            "inspect {w}/images",
            "",
            ("{w}/images holds no network: expected config.json, or unet/config.json",),
        ),
        Row(
            "inspect Inpaintign",
            "",
            (
                "there is nothing at 'Inpaintign', and nothing of that name ships",
                "did you mean Inpainting?",
            ),
        ),
        Row(
            "inspect h-natural-46",
            "",
            (
                "there is nothing at 'h-natural-46', and nothing of that name ships",
                "did you mean natural-64 or h-natural-64-hdr or",
            ),
        ),
        Row(
            "inspect {w}/unfinished",
            "",
            ("{w}/unfinished holds no network: expected config.json, or unet/config.json",),
        ),
        Row(
            "inspect {w}/yaml/empty.yaml",
            "",
            ("{w}/yaml/empty.yaml is empty", "Copy it again from where it came from, or delete"),
        ),
        Row(
            "inspect {w}/file",
            "",
            ("{w}/file is no safetensors file", "Copy it again from where it came from, or delete"),
        ),
    ],
    "runs that go on": [
        Row(
            TRAIN,
            "--seed 1",
            (
                "out holds a run with other settings",
                "Give those settings to resume it, another folder",
            ),
            before="run",
        ),
        Row(
            TRAIN,
            "--learning_rate 0.5",
            (
                "out holds a run with other settings",
                "Give those settings to resume it, another folder",
            ),
            before="run",
        ),
        Row(
            TRAIN,
            "--images {w}/one",
            (
                "out holds a run with other settings",
                "Give those settings to resume it, another folder",
            ),
            before="run",
        ),
        Row(
            TRAIN,
            "--prior {w}/other.safetensors",
            (
                "out holds a run with other settings",
                "Give those settings to resume it, another folder",
            ),
            before="run",
        ),
        Row(
            TRAIN,
            "--steps 1",
            (
                "out holds a run with other settings",
                "Give those settings to resume it, another folder",
            ),
            before="run",
        ),
        Row(
            TRAIN,
            "--problem SuperResolution --problem.factor 2",
            (
                "out holds a run with other settings",
                "Give those settings to resume it, another folder",
            ),
            before="run",
        ),
        Row(
            TRAIN,
            "--fraction 0.5",
            (
                "out holds a run with other settings",
                "Give those settings to resume it, another folder",
            ),
            before="run",
        ),
        Row(
            SAMPLE,
            "--seed 3",
            (
                "out holds results of deft sample in another configuration",
                "Use another folder, or delete this one",
            ),
            before="drawn",
        ),
        Row(
            SAMPLE,
            "--samples 5",
            (
                "out holds results of deft sample in another configuration",
                "Use another folder, or delete this one",
            ),
            before="drawn",
        ),
        Row(
            SAMPLE,
            "--steps 4",
            (
                "out holds results of deft sample in another configuration",
                "Use another folder, or delete this one",
            ),
            before="drawn",
        ),
    ],
    "images held out": [
        Row(TRAIN, "--validation_images {w}/nowhere", ("{w}/nowhere does not exist",)),
        Row(
            TRAIN,
            "--validation_images {w}/empty",
            (
                "{w}/empty holds no images (.png, .jpg, .jpeg, .jpe, .jfif, .webp,",
                "it holds nothing",
            ),
        ),
        Row(
            TRAIN,
            "--validation_images {w}/large",
            (
                "{w}/large/00.png is 32 x 32 (height x width) and the prior takes 16 x",
                "use --fit resize (scale, then cut the middle out)",
            ),
        ),
        Row(
            TRAIN,
            "--validation_images {w}/colour",
            (
                "{w}/colour/00.png has 3 channels (mode RGB) and the prior takes 1",
                "use --convert grey",
            ),
        ),
        Row(
            TRAIN,
            "--validation_share 1",
            (
                "--validation_share",
                "got 1.0",
                "a share of the images in [0, 0.5], so that more",
                "Use 0 for none",
            ),
        ),
        Row(
            TRAIN,
            "--validation_share -0.1",
            (
                "--validation_share",
                "got -0.1",
                "a share of the images in [0, 0.5], so that more",
                "Use 0 for none",
            ),
        ),
        Row(
            TRAIN,
            "--images {w}/one --validation_share 0.5",
            (
                "of one image none can be held out to validate with",
                "give more, or --validation_share 0",
            ),
        ),
        Row(
            TRAIN,
            "--validation_images {w}/nan.npy",
            ("{w}/nan.npy", "the array holds NaN or infinite values"),
        ),
        Row(TRAIN, "--validation_draws x", ("--validation_draws", "got x", "a whole number")),
        Row(
            TRAIN,
            "--validate_every -1",
            ("--validate_every", "got -1", "a whole number >= 1, optimiser steps"),
        ),
    ],
    "more of numbers": [
        Row(SAMPLE, "--seed x", ("--seed", "got x", "a whole number")),
        Row(EVALUATE, "--seed 1.5", ("--seed", "got 1.5", "a whole number")),
        Row(EVALUATE, "--samples 0", ("--samples", "got 0", "a whole number from 1 to 1,048,576")),
        Row(EVALUATE, "--window nowhere", ("a window is for CT slices", "{w}/two is neither")),
        Row(
            EVALUATE,
            "--key a",
            ("--key", "got a", "nothing: {w}/two holds pictures, whose whole", "Leave --key out"),
        ),
        Row(
            EVALUATE,
            "--series 1",
            ("--series", "got 1", "nothing: {w}/two holds no DICOM series", "Leave --series out"),
        ),
        Row(
            EVALUATE,
            "--subfolder x",
            (
                "--subfolder",
                "got x",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --subfolder out",
            ),
        ),
        Row(
            EVALUATE,
            "--schedule x",
            (
                "--schedule",
                "got x",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --schedule out",
            ),
        ),
        Row(
            EVALUATE,
            "--prediction_type x",
            (
                "--prediction_type",
                "got x",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --prediction_type out",
            ),
        ),
        Row(
            SAMPLE,
            "--subfolder x",
            (
                "--subfolder",
                "got x",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --subfolder out",
            ),
        ),
        Row(
            SAMPLE,
            "--schedule x",
            (
                "--schedule",
                "got x",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --schedule out",
            ),
        ),
        Row(
            SAMPLE,
            "--prediction_type x",
            (
                "--prediction_type",
                "got x",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --prediction_type out",
            ),
        ),
    ],
    "conversions": [
        Row(EVALUATE, "--convert gray", ("--convert", "got gray", "one of rgb, grey")),
        Row(EVALUATE, "--fit x", ("--fit", "got x", "one of resize, crop")),
        Row(DEMO, "--convert gray", ("--convert", "got gray", "one of rgb, grey")),
        Row(DEMO, "--fit x", ("--fit", "got x", "one of resize, crop")),
        Row(SAMPLE, "--fit x", ("--fit", "got x", "one of resize, crop")),
        Row(SAMPLE, "--window x", ("a window is for CT slices", "{w}/two is neither")),
        Row(
            SAMPLE,
            "--key a",
            ("--key", "got a", "nothing: {w}/two holds pictures, whose whole", "Leave --key out"),
        ),
        Row(
            SAMPLE,
            "--series 1",
            ("--series", "got 1", "nothing: {w}/two holds no DICOM series", "Leave --series out"),
        ),
        Row(
            SAMPLE,
            "--prior {w}/d_alone",
            (
                "{w}/d_alone has no scheduler_config.json",
                "got no noise schedule",
                "that under which the network was trained",
                "Give --schedule, one of linear,",
            ),
        ),
        Row(SAMPLE, "--convert gray", ("--convert", "got gray", "one of rgb, grey")),
        Row(
            DEMO,
            "--images {w}/colour",
            (
                "{w}/colour/00.png has 3 channels (mode RGB) and the prior takes 1",
                "use --convert grey",
            ),
        ),
        Row(
            EVALUATE,
            "--images {w}/colour",
            (
                "{w}/colour/00.png has 3 channels (mode RGB) and the prior takes 1",
                "use --convert grey",
            ),
        ),
    ],
    "configurations": [
        Row(
            "sample --config {w}/nowhere.yaml",
            "",
            (
                "--config",
                "got {w}/nowhere.yaml, a file that does not exist",
                "a YAML file with options of this command",
            ),
        ),
        Row("sample --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row("train --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row("evaluate --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row(
            "evaluate --config {w}/yaml/list.yaml",
            "",
            (
                "--config",
                "got {w}/yaml/list.yaml, a list",
                "options of this command, one `name: value` a line",
            ),
        ),
        Row(
            "inspect --config {w}/yaml/list.yaml",
            "",
            (
                "--config",
                "got {w}/yaml/list.yaml, a list",
                "options of this command, one `name: value` a line",
            ),
        ),
        Row("inspect --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row(
            "demo --config {w}/yaml/binary.yaml",
            "",
            (
                "--config",
                "got {w}/yaml/binary.yaml, which is no text",
                "a YAML file with options of this command",
            ),
        ),
        Row(EVALUATE, "--methods x", ("--methods", "got x", "a mapping")),
        Row(
            EVALUATE,
            "--methods.A.class_path DPSS",
            (
                "--methods",
                "got DPSS; expected a method that there is",
                "Did you mean DPS or DAPS?",
            ),
        ),
        Row(
            DEMO,
            "--prediction_type x",
            (
                "--prediction_type",
                "got x",
                "nothing: {w}/tiny.safetensors is a file, which",
                "Leave --prediction_type out",
            ),
        ),
        Row("demo --print_config=x", "", ('Invalid option "x" for --print_config',)),
    ],
    "switches": [
        Row(TRAIN, "--resume perhaps", ("--resume", "got perhaps", "true or false")),
        Row(TRAIN, "--tensorboard 2", ("--tensorboard", "got 2", "true or false")),
        Row(TRAIN, "--strict no_way", ("--strict", "got no_way", "true or false")),
        Row(SAMPLE, "--strict 3", ("--strict", "got 3", "true or false")),
        Row(
            MEASURED,
            "--invert_masks maybe --masks {w}/mask.png",
            ("--invert_masks", "got maybe", "true or false"),
        ),
        Row(EVALUATE, "--clip 7", ("--clip", "got 7", "true or false")),
        Row(EVALUATE, "--open_report x", ("--open_report", "got x", "true or false")),
        Row(EVALUATE, "--strict x", ("--strict", "got x", "true or false")),
        Row(DEMO, "--open_report x", ("--open_report", "got x", "true or false")),
        Row(TRAIN, "--flip 2", ("--flip", "got 2", "true or false")),
        Row("list --print_config=x", "", ('Invalid option "x" for --print_config',)),
    ],
    "intervals: numbers": [
        Row(
            CONFORMAL,
            "--level 1",
            ("--level", "got 1.0", "a number between 0 and 1", "0.9 for intervals"),
        ),
        Row(
            CONFORMAL,
            "--level 90",
            ("--level", "got 90.0", "a number between 0 and 1", "0.9 for intervals"),
        ),
        Row(CONFORMAL, "--level nan", ("--level", "got nan", "a finite number")),
        Row(
            CONFORMAL,
            "--samples 1",
            ("--samples", "got 1", "at least 2, for a deviation", "8 is usual"),
        ),
        Row(CONFORMAL, "--samples 2.5", ("--samples", "got 2.5", "a whole number")),
        Row(
            CONFORMAL,
            "--threshold 1.5",
            ("--threshold", "got 1.5", "a number in [0, 1), the share of the range"),
        ),
        Row(
            CONFORMAL,
            "--threshold -0.1",
            ("--threshold", "got -0.1", "a number in [0, 1), the share of the range"),
        ),
        Row(
            CONFORMAL,
            "--steps 0",
            ("--steps", "got 0", "a whole number from 1 to 1,000,000, at least one"),
        ),
        Row(
            CONFORMAL,
            "--sampler DDIM --sampler.steps 2",
            ("--steps", "got 2", "nothing: it is not used with", "Leave --steps out"),
        ),
        Row(CONFORMAL, "--seed 1.5", ("--seed", "got 1.5", "a whole number")),
        Row(
            CONFORMAL,
            "--batch_size 0",
            ("--batch_size", "got 0", "a whole number from 1 to 1,048,576"),
        ),
        Row(CONFORMAL, "--limit 0", ("--limit", "got 0", "a whole number from 1 to 1,048,576")),
    ],
    "intervals: images": [
        Row(
            CONFORMAL,
            "--level 0.9",
            ("--images", "got 8 images", "at least 9, for intervals of 90 %", "a lower level"),
        ),
        Row(
            CONFORMAL,
            "--limit 3",
            ("--images", "got 3 images", "at least 4, for intervals of 80 %", "Give more of them"),
        ),
        Row(
            CONFORMAL,
            "--groups persons",
            ("--groups", "got persons", "one of images, folders, patients"),
        ),
        Row(
            CONFORMAL,
            "--groups patients",
            ("--groups", "got patients", "images that say whose they are", "--groups folders"),
        ),
        Row(
            CONFORMAL,
            "--groups folders",
            ("--groups", "got 1 folder", "at least 4", "Give more of them"),
        ),
        Row(
            CONFORMAL,
            "--h {w}/views --images {w}/ct --groups patients",
            ("--groups", "got 1 patient", "at least 4"),
        ),
        Row(
            CONFORMAL,
            "--images {w}/colour",
            ("has 3 channels (mode RGB)", "the prior takes 1", "--convert grey"),
        ),
        Row(CONFORMAL, "--images {w}/nothing", ("{w}/nothing does not exist",)),
        Row(CONFORMAL, "--convert blue", ("--convert", "got blue", "one of rgb, grey")),
        Row(CONFORMAL, "--fit stretch", ("--fit", "got stretch", "one of resize, crop")),
        Row(
            CONFORMAL,
            "--value_range [1,0]",
            ("--value_range", "got (1.0, 0.0)", "Leave --value_range out"),
        ),
        Row(CONFORMAL, "--window [0,1]", ("a window is for CT slices", "{w}/images is neither")),
    ],
    "intervals: places and names": [
        Row(
            CONFORMAL,
            "--out {w}/run",
            ("--out", "got {w}/run, the folder of --h itself", "Name a new folder"),
        ),
        Row(
            CONFORMAL,
            "--out {w}/super",
            ("--out", "got {w}/super, which holds another h", "Name a new folder"),
        ),
        Row(
            CONFORMAL,
            "--out {w}/images/x",
            ("--out", "got {w}/images/x", "a folder outside of {w}/images"),
        ),
        Row(
            CONFORMAL,
            "--h {w}/nowhere",
            ("{w}/nowhere does not exist", "no h-transform of that name ships"),
        ),
        Row(
            CONFORMAL,
            "--h {w}/cards/flipped.safetensors",
            ("{w}/cards/flipped.safetensors is damaged", "Copy it again"),
        ),
        Row(
            CONFORMAL,
            "--prior {w}/other.safetensors",
            ("was trained for the prior tiny", "Give that prior"),
        ),
        Row(
            CONFORMAL,
            "--problem SuperResolution",
            ("was trained for Inpainting", "Train one for this problem"),
        ),
        Row(
            CONFORMAL,
            "--sampler TwistedSMC",
            ("--sampler", "got TwistedSMC", "TwistedSMC is a method"),
        ),
        Row(
            CONFORMAL,
            "--allow deft.nothing",
            ("--allow", "got deft.nothing", "a module of your own"),
        ),
        Row(
            CONFORMAL,
            "--config {w}/yaml/unknown.yaml",
            ("unknown option", "got stepz", "Did you mean steps?"),
        ),
        Row(
            CONFORMAL,
            "--thresold 0.1",
            ("unknown option", "got --thresold", "Did you mean --threshold"),
        ),
        Row(CONFORMAL, "--strict maybe", ("--strict", "got maybe", "true or false")),
    ],
    "intervals: options without use": [
        Row(CONFORMAL, "--key a", ("--key", "got a", "Leave --key out")),
        Row(CONFORMAL, "--series all", ("--series", "got all", "Leave --series out")),
        Row(CONFORMAL, "--labels [1]", ("--labels", "got [1]", "Leave --labels out")),
        Row(CONFORMAL, "--subfolder x", ("--subfolder", "got x", "Leave --subfolder out")),
        Row(CONFORMAL, "--schedule x", ("--schedule", "got x", "Leave --schedule out")),
        Row(
            CONFORMAL,
            "--prediction_type x",
            ("--prediction_type", "got x", "Leave --prediction_type out"),
        ),
    ],
    "intervals: functionals": [
        Row(
            CONFORMAL,
            "--functionals {w}/channels.npy",
            ("--functionals", "float32 of shape (2, 3, 16, 16)", "numbers of shape (k, 1, 16, 16)"),
        ),
        Row(
            CONFORMAL,
            "--functionals {w}/nan.npy",
            (
                "--functionals",
                "NaN, infinite values, or zeros alone, in row 0, 1",
                "finite weights",
            ),
        ),
        Row(
            CONFORMAL,
            "--functionals {w}/complex.npy",
            ("--functionals", "complex64 of shape", "array of weights for each functional"),
        ),
        Row(CONFORMAL, "--functionals {w}/texts.npy", ("{w}/texts.npy",)),
        Row(CONFORMAL, "--functionals {w}/nowhere.npy", ("{w}/nowhere.npy",)),
        Row(CONFORMAL, "--functionals {w}/half.npy", ("{w}/half.npy",)),
        Row(CONFORMAL, "--functionals {w}/two", ("{w}/two",)),
        Row(
            CALIBRATED,
            "--functionals {w}/good.npy",
            ("--functionals", "those of an --h that deft conformal --functionals", "the same file"),
        ),
        Row(
            SAMPLE,
            "--functionals {w}/good.npy",
            ("--functionals", "those of an --h that deft conformal --functionals", "the same file"),
        ),
        Row(
            CALIBRATED,
            "--functionals {w}/small.npy",
            ("--functionals", "float32 of shape (2, 1, 16, 8)", "numbers of shape (k, 1, 16, 16)"),
        ),
    ],
    "intervals that do not hold": [
        Row(
            CALIBRATED,
            "--steps 3",
            ("no intervals are given", "DPMSolver(steps=2)", "deft conformal"),
            status=0,
        ),
        Row(
            CALIBRATED,
            "--samples 1",
            ("no intervals are given", "a deviation needs two samples"),
            status=0,
        ),
        Row(
            CALIBRATED,
            "--samples 3",
            ("calibrated for at most 2 samples", "those of the first 2 of 3"),
            status=0,
        ),
        Row("conformal --print_config=x", "", ('Invalid option "x" for --print_config',)),
    ],
    "tiles": [
        Row(
            SAMPLE,
            "--tile 8",
            (
                "--tile: got 8",
                "auto, off, or the size of the signals of tiny, 16 x 16",
                "auto takes it",
            ),
        ),
        Row(SAMPLE, "--tile on", ("--tile: got on", "auto, off, or the size of the signals")),
        Row(
            SAMPLE,
            "--images {w}/large --overlap 16",
            ("--overlap", "got 16", "a whole number from 0 to 15, the places that neighbouring"),
        ),
        Row(
            SAMPLE,
            "--images {w}/large --overlap -1",
            ("--overlap", "got -1", "a whole number from 0 to 15, the places that neighbouring"),
        ),
        Row(
            SAMPLE,
            "--images {w}/large --overlap half",
            ("--overlap", "got half", "a whole number"),
        ),
        Row(
            SAMPLE,
            "--images {w}/large --layout still",
            ("--layout", "got still", "one of moving, fixed"),
        ),
        Row(
            SAMPLE,
            "--overlap 4",
            ("--overlap: got 4", "it is not used where no picture is larger than the prior"),
        ),
        Row(
            SAMPLE,
            "--images {w}/large --tile off",
            (
                "{w}/large/00.png is 32 x 32 (height x width) and the prior takes 16 x",
                "use --fit resize (scale, then cut the middle out)",
            ),
        ),
        Row(
            SAMPLE,
            "--images {w}/large --tile off --layout fixed",
            ("--layout: got fixed", "it is not used with --tile off", "eave --layout out"),
        ),
        Row(
            SAMPLE,
            "--images {w}/large --fit resize --tile 16",
            ("--tile: got 16", "it is not used with --fit", "eave --tile out"),
        ),
        Row(
            WITHOUT,
            "--images {w}/large --method TwistedSMC",
            ("--method: got ResampledSMC", "one sample at a time", "se --fit resize"),
        ),
        Row(
            MEASURED,
            "--measurements {w}/large --masks {w}/mask.png",
            ("the mask", "got 16 x 16 (height x width)", "32 x 32, the size of the signal"),
        ),
    ],
    "banks": [
        Row(
            BANK,
            "--size 0",
            ("--size", "got 0", "a whole number from 1 to", "The steps of one training"),
        ),
        Row(
            BANK,
            "--size 1e12",
            ("--size", "got 1000000000000", "for which the disk has room", "GB are free"),
        ),
        Row(BANK, "--size many", ("--size", "got many", "a whole number")),
        Row(
            BANK,
            "--batch_size 0",
            ("--batch_size", "got 0", "a whole number from 1 to", "signals denoised at once"),
        ),
        Row(
            BANK,
            "--validation_share 2",
            ("--validation_share", "got 2", "in [0, 0.5]", "Use 0 for none"),
        ),
        Row(BANK, "--times.std 0", ("--times.std", "got 0", "a finite number > 0")),
        Row(BANK, "--flip maybe", ("--flip", "got maybe", "true or false")),
        Row(BANK, "--seed 1.5", ("--seed", "got 1.5", "a whole number")),
        Row(BANK, "--out {w}/images", ("--out", "a folder outside of", "Results would be taken")),
        Row(BANK, "--problem Inpainting", ("unknown option", "--problem")),
        Row(TRAIN, "--bank {w}/run", ("holds no bank", "bank.json does not exist")),
        Row(
            TRAIN,
            "--bank nowhere --times.std 2",
            (
                "--times",
                "expected nothing",
                "--bank FOLDER, which has its own",
                "Leave --times out",
            ),
        ),
    ],
    "images and priors of banks": [
        Row(BANK, "--convert blue", ("--convert", "got blue", "one of rgb, grey")),
        Row(BANK, "--fit stretch", ("--fit", "got stretch", "one of resize, crop")),
        Row(
            BANK,
            "--value_range [1,0]",
            ("--value_range", "expected nothing", "Leave --value_range out"),
        ),
        Row(BANK, "--window nowhere", ("a window is for CT slices", "is neither")),
        Row(BANK, "--strict perhaps", ("--strict", "got perhaps", "true or false")),
        Row(BANK, "--key a", ("--key", "got a", "expected nothing", "Leave --key out")),
        Row(BANK, "--series 7", ("--series", "got 7", "holds no DICOM series")),
        Row(BANK, "--labels 3", ("--labels", "got [3]", "tiny is unconditional")),
        Row(BANK, "--subfolder unet", ("--subfolder", "got unet", "is a file, which says itself")),
        Row(
            BANK, "--schedule linear", ("--schedule", "got linear", "is a file, which says itself")
        ),
        Row(
            BANK,
            "--prediction_type noise",
            ("--prediction_type", "got noise", "is a file, which says itself"),
        ),
        Row(BANK, "--images {w}/nowhere", ("{w}/nowhere does not exist",)),
    ],
    "what a bank is made of": [
        Row("bank --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row(
            BANK,
            "--allow no.such.module",
            ("--allow", "got no.such.module", "a module of your own"),
        ),
        Row(BANK, "--config {w}/none.yaml", ("--config", "a file that does not exist")),
        Row(
            BANK,
            "--prior none-32",
            ("there is no prior 'none-32'", "ct-128, digits-32, natural-64"),
        ),
        Row(
            TRAIN,
            "--per_evaluation 0",
            ("--per_evaluation", "got 0", "a whole number from 1 to 1,024"),
        ),
        Row(
            TRAIN,
            "--per_evaluation 1e6",
            ("--per_evaluation", "got 1000000", "measurements for each evaluation"),
        ),
        Row(
            TRAIN,
            "--patch 64",
            ("--patch", "got 64", "a whole number from 1 to 16", "half the resolution"),
        ),
        Row(
            TRAIN,
            "--patch 4 --initial {w}/run",
            ("--patch", "got 4", "--initial, whose network it is"),
        ),
    ],
    "cheaper evaluations": [
        Row(SAMPLE, "--precision fp8", ("--precision", "got fp8", "one of fp32, bf16, auto")),
        Row(
            SAMPLE,
            "--reuse 0",
            ("--reuse", "got 0", "a whole number from 1 to 1,000", "1 evaluates every step whole"),
        ),
        Row(
            SAMPLE,
            "--reuse 2 --compile true",
            ("--compile", "not used with --reuse", "Leave one of the two out"),
        ),
        Row(
            SAMPLE,
            "--skip_h 0.1",
            ("--skip_h", "got 0.1", "an h-transform that was validated", "Leave it out"),
        ),
        Row(SAMPLE, "--channels_last perhaps", ("--channels_last", "got perhaps", "true or false")),
        Row(
            WITHOUT,
            "--method DPS --method.steps 2 --skip_h 0.1",
            ("--skip_h", "it is for a learned h-transform"),
        ),
        Row(
            WITHOUT,
            "--method DPS --method.steps 2 --reuse 2",
            ("DPS needs gradients through Reused", "Use LearnedHTransform"),
        ),
        Row(EVALUATE, "--precision half", ("--precision", "got half", "one of fp32, bf16, auto")),
        Row(EVALUATE, "--reuse -1", ("--reuse", "got -1", "a whole number from 1 to 1,000")),
        Row(EVALUATE, "--skip_h 1.5", ("--skip_h", "got 1.5", "a number in [0, 1)")),
        Row(EVALUATE, "--channels_last 3", ("--channels_last", "got 3", "true or false")),
        Row(EVALUATE, "--compile 3", ("--compile", "got 3", "true or false")),
    ],
}


def _as_training(base: str, options: tuple[str, ...]) -> list[Row]:
    """What deft train says of an option that another command shares with it: the first row whose
    wrong part begins with that option, or ends with it.
    """
    rows = [row for kind in ROWS.values() for row in kind if row.command == "train"]
    found = []
    for option in options:
        row = next(
            row
            for row in rows
            if option in row.wrong.split() and not row.before and "d_" not in row.wrong
        )
        found.append(Row(base, row.wrong, row.says))
    return found


ROWS["adapting, as training"] = _as_training(
    ADAPT,
    (
        "--config",
        "--out",
        "--prior",
        "--validation_images",
        "--batch_size",
        "--flip",
        "--seed",
        "--save_every",
        "--convert",
        "--fit",
        "--value_range",
    ),
)
ROWS["adapting, as training, more"] = _as_training(
    ADAPT, ("--window", "--strict", "--key", "--series", "--prediction_type", "--allow")
)
ROWS["adapting, as training, more"] += [
    Row("adapt --print_config=x", "", ('Invalid option "x" for --print_config',)),
    Row(ADAPT, "--labels 3", ("--labels", "3")),
    Row(ADAPT, "--subfolder unet", ("--subfolder", "unet")),
    Row(ADAPT, "--schedule linear", ("--schedule", "linear")),
]
ROWS |= ALARM_ROWS | CONTEXT_ROWS | GENIE_ROWS | OBSERVATION_ROWS | SCAFFOLD_ROWS
