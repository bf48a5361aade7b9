"""The command line `deft`.

Nothing heavy is imported before a command is known, so that `deft --help` answers at once. Each
command is a typed function in `deft.commands`; its arguments are the options, and `--config
run.yaml` gives any of them from a file.

The exit status is 0; 1 where samples that were drawn are not finite; 2 for an error in what was
given; and 128 + the signal's number where a signal stopped the command: 130 for Ctrl-C, 143 for
SIGTERM, 129 for SIGHUP, all of which save what is done.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from deft import signals
from deft.errors import DeftError, nearest_names

COMMANDS = {
    "demo": "fine-tune a small h-transform and compare it with DPS and DDNM+, in minutes; opens a "
    "page",
    "train": "learn an h-transform for a frozen prior and a problem",
    "adapt": "fine-tune an h-transform on one operator in minutes",
    "bank": "evaluate a prior beforehand, so that several h-transforms learn from one bank",
    "distil": "teach a learned h-transform to do with few prior evaluations",
    "sample": "draw posterior samples for measurements, or for images that are measured first",
    "scaffold": "design protein backbones around a motif, and measure them",
    "app": "a page on this machine: drop a picture, paint what is missing, look at samples as they "
    "come",
    "alarm": "measure on held-out images what right answers look like, so that sample says which "
    "are doubtful",
    "evaluate": "compare methods on the same observations and seeds; writes results.json and "
    "report.html",
    "conformal": "calibrate intervals on images of your own, so that they hold on average",
    "list": "what there is: priors, problems, operators, masks, kernels, h-transforms, samplers, "
    "methods",
    "serve-prior": "serve a prior over HTTP, for clients that get neither weights nor gradients",
    "export": "write a prior in the form of another library: a folder of diffusers",
    "inspect": "what is in a checkpoint or a prior, or what is wrong with it",
}


def usage() -> str:
    """The text of `deft --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: deft COMMAND [options]",
            "",
            "Conditional sampling from frozen diffusion priors, by learning the h-transform "
            "(DEFT).",
            "",
            *lines,
            "",
            "deft COMMAND --help shows a command's options; --config FILE.yaml gives them from a "
            "file.",
            "--debug shows the traceback of an error; --version prints the version.",
            "",
            "Start with `deft demo`.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from deft import __version__

        print(f"deft {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        _say(
            f"there is no command {name!r}{nearest_names(name, list(COMMANDS))}; the commands are "
            f"{', '.join(COMMANDS)}."
        )
        return 2
    sys.path.append(os.getcwd())  # so that a user's own module can be named in a YAML file
    try:
        with signals.raised():
            result: int = import_module("deft.commands.parser").run(name, rest)
            return result
    except DeftError as error:
        if debug:
            raise
        further = f" Go on with: {shlex.join(['deft', name, *rest])}"
        _say(_in_words(error, name, rest) + (further if error.same_call_goes_on else ""))
        return error.exit_status
    except KeyboardInterrupt as error:
        if debug:
            raise
        number = signals.number_of(error)
        _say(
            str(error)
            or f"stopped{signals.by(number)}; what was finished is kept, and the same command "
            "goes on from there."
        )
        return 128 + number
    except BrokenPipeError:  # the reader of our output has gone, as in `deft list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug:
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = (
            " What was finished is kept: free some space, and the same command goes on."
            if full
            else ""
        )
        _say(f"{error.filename or name}: {error.strerror or error}.{advice}")
        return 2
    except Exception as error:
        if debug:
            raise
        first = (str(error).strip().splitlines() or [""])[0]
        _say(
            f"this is a fault of deft, not of what you gave ({type(error).__name__}: {first}); "
            "--debug shows where. What was finished is kept."
        )
        return 1
    finally:
        sys.path.remove(os.getcwd())


def _in_words(error: DeftError, name: str, arguments: Sequence[str]) -> str:
    """An error in the words of the command line."""
    from deft.commands import parser

    return parser.spoken(error, name, arguments)


def _say(message: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(f"deft: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
