"""The console script: run one command and turn every ending into the exit code that scripts rely on."""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

import click
from click.shell_completion import shell_complete

from autoreg.cli import cli
from autoreg.cli.completing import VARIABLE
from autoreg.console import write_json
from autoreg.errors import AutoregError, UsageError
from autoreg.secrets import redact
from autoreg.words import one_line

USAGE, BUG, CTRL_C = 64, 70, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process when left out.

    Returns
    -------
    int
        0 done, 64 usage, 65 bad data or study file or no trial completed, 70 our bug, 75 busy or server away,
        130 Ctrl-C, 143 stopped.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if VARIABLE in os.environ:  # the shell asks what may follow
        return shell_complete(cli, {}, "autoreg", VARIABLE, os.environ[VARIABLE])
    try:
        with cli.make_context("autoreg", args[:] or ["--help"]) as context:
            cli.invoke(context)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except (click.ClickException, UsageError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        return _fail(USAGE, f"{message.rstrip('.')}; see {_command(args)} --help", args)
    except AutoregError as error:
        return _fail(error.exit_code, str(error), args)
    except KeyboardInterrupt:
        return _fail(CTRL_C, "stopped by Ctrl-C", args)
    except BrokenPipeError:
        if not _reader_left():
            return _bug(args)
    except Exception:
        return _bug(args)
    return 0


def _command(args: Sequence[str]) -> str:
    """The command that was meant, for "see ... --help"."""
    return " ".join(["autoreg", *[word for word in args if word in cli.commands][:1]])


def _fail(code: int, message: str, args: Sequence[str]) -> int:
    message = one_line(message)
    _complain(f"autoreg: {message}")
    place = _json_place(args)
    if place:
        try:
            write_json({"status": "error", "code": code, "message": message}, place)
        except OSError as error:
            _complain(f"autoreg: --json: cannot write '{place}': {error.strerror}")
    return code


def _bug(args: Sequence[str]) -> int:
    """Be loud: the whole traceback (without passwords), and whose fault it is."""
    _complain(redact(traceback.format_exc()))
    error = sys.exc_info()[1]
    return _fail(
        BUG,
        f"this is a bug in autoreg, please report it with the lines above: {type(error).__name__}: {error}",
        args,
    )


def _complain(text: str) -> None:
    with suppress(OSError, ValueError):  # whoever read stderr may have left; the exit code still tells
        print(text, file=sys.stderr, flush=True)


def _json_place(args: Sequence[str]) -> str:
    """Where ``--json`` points, found even when the command line as a whole cannot be parsed."""
    for word, following in zip(args, [*args[1:], ""], strict=True):
        if word == "--json":
            return following
        if word.startswith("--json="):
            return word.removeprefix("--json=")
    return ""


def _reader_left() -> bool:
    """True when stdout's reader (``head``, a closed pager) is gone; nothing more is written to it then."""
    poll = select.poll()
    poll.register(sys.stdout, select.POLLOUT)
    gone = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    if gone:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or the interpreter complains at its end
    return gone


if __name__ == "__main__":
    sys.exit(main())
