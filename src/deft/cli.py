"""The command line `deft`.

Nothing heavy is imported before a command is known, so that `deft --help` answers at once. Each command is a typed function in `deft.commands`; its
arguments are the options, and `--config run.yaml` gives any of them from a file.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from deft.errors import DeftError, nearest_names

COMMANDS = {
    "demo": "fine-tune a small h-transform and compare it with DPS and DDNM+, in minutes; opens a page",
    "train": "learn an h-transform for a frozen prior and a problem",
    "sample": "draw posterior samples for measurements, or for images that are measured first",
    "evaluate": "compare methods on the same observations and seeds; writes results.json and report.html",
    "list": "what there is: priors, problems, operators, masks, kernels, h-transforms, samplers, methods",
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
            "Conditional sampling from frozen diffusion priors, by learning the h-transform (DEFT).",
            "",
            *lines,
            "",
            "deft COMMAND --help shows a command's options; --config FILE.yaml gives them from a file.",
            "--debug shows the traceback of an error; --version prints the version.",
            "",
            "Start with `deft demo`.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0, 2 for an error in what was given, or 130 after Ctrl-C."""
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
        _say(f"there is no command {name!r}{nearest_names(name, list(COMMANDS))}; the commands are {', '.join(COMMANDS)}.")
        return 2
    sys.path.append(os.getcwd())  # so that a user's own module can be named in a YAML file
    try:
        return import_module("deft.commands.parser").run(name, rest)
    except DeftError as error:
        if debug:
            raise
        _say(str(error))
        return 2
    except KeyboardInterrupt as error:
        if debug:
            raise
        _say(str(error) or "stopped; what was finished is kept, and the same command goes on from there.")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `deft list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug:
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = " What was finished is kept: free some space, and the same command goes on." if full else ""
        _say(f"{error.filename or name}: {error.strerror or error}.{advice}")
        return 2
    finally:
        sys.path.remove(os.getcwd())


def _say(message: str) -> None:
    print(f"deft: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
