"""The command line's door: signals and streams, then a verb, then its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .. import leaving

# exit codes of design §3.1; the verbs that measure have another, `measured.LOST`
DONE, BUG, WRONG_INPUT, INTERRUPTED = 0, 1, 2, leaving.STOPPED


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: its arguments. Without them this is the process's own work: signals and
            streams are taken for it, before anything else is imported. With them, as
            from Python, the caller's handlers, streams and log are as they were.

    Returns:
        The exit code of design §3.1.
    """
    if argv is not None:
        return run(list(argv))
    leaving.take_signals()
    from .streams import hold, lost

    outlet = hold()
    code = run(sys.argv[1:])
    if words := lost(outlet):
        from .show import complain

        code = complain(f"error: {words}", code or WRONG_INPUT)
    leaving.settle(code)
    return code


def run(argv: list[str]) -> int:
    """Run one command; whatever becomes of it is an exit code and one message."""
    from ..errors import Interrupted, TinyclipError, refusal
    from .parser import answer
    from .show import complain, log_on_stderr

    try:
        with log_on_stderr():
            code = answer(argv)
            sys.stdout.flush()  # a reader that has gone is noticed here, not at exit
            return code
    except Interrupted as stopped:
        return complain(str(stopped), stopped.exit_code)
    except TinyclipError as error:
        return complain(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has gone
        return DONE
    except Exception as error:
        refused = refusal(error)
        return _bug() if refused is None else complain(f"error: {refused}", WRONG_INPUT)


def _bug() -> int:
    """What nobody expected: the lines that tell us where."""
    import traceback

    from .show import complain

    traceback.print_exc()
    return complain(
        "error: this is a bug of tinyclip; please report the lines above", BUG
    )
