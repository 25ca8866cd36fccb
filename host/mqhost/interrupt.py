"""Turns SIGTERM and SIGHUP into KeyboardInterrupt, so that `with` blocks clean up."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt in this block, unless ignored (nohup).

    For the main thread; the edges (cli, tasks.py) run everything in it.
    """
    caught = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in caught:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)
