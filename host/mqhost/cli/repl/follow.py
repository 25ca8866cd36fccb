"""Writes what code on a board prints as it comes; Ctrl-C ends the code, and a second one us."""

import threading

from mqhost.cli.edge import Edge, to_stderr
from mqhost.cli.terminal.printing import Output
from mqhost.errors import BoardError
from mqhost.repl.running import Result, Run


def follow(edge: Edge, run: Run, output: Output, *, whole_lines: bool = False) -> None:
    """Write to `output` what `run` gives, to its end, with `whole_lines` with a newline there.

    The first Ctrl-C ends the code on the board; when that has ended, or at the second Ctrl-C, this
    raises KeyboardInterrupt. BoardError with the traceback, if there is one, or when it left with
    an error. What is missing of the output is told on stderr.
    """
    told = threading.Event()

    def interrupt() -> None:
        told.set()
        run.interrupt()

    ending = b"\n"
    try:
        with edge.first_ctrl_c(interrupt):
            for part in run:
                output.write(part)
                output.flush()
                ending = part[-1:] or ending
    finally:
        if whole_lines and ending != b"\n":
            output.write(b"\n")
            output.flush()
    if run.result:
        _tell_end(run.result, told.is_set())


def _tell_end(result: Result, by_us: bool) -> None:
    if result.dropped or result.lost:
        missing = []
        if result.dropped:
            missing.append(f"{result.dropped:,} B, which nobody took from the board in time")
        if result.lost:
            missing.append(f"{result.lost:,} messages, which got lost on the way")
        to_stderr(f"Output is missing: {' and '.join(missing)}.")
    if result.cancelled and by_us:
        if result.error:
            to_stderr(result.error)
        raise KeyboardInterrupt
    if result.error:
        by_others = "Somebody ended it (mqboard cancel).\n" if result.cancelled else ""
        raise BoardError(by_others + result.error)
    if result.exit is not None:
        raise BoardError(f"It left with sys.exit({result.exit!r:.200}).")
