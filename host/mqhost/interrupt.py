"""Turns SIGTERM and SIGHUP into KeyboardInterrupt, so that `with` blocks clean up; has the first
Ctrl-C ask politely."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


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


@contextlib.contextmanager
def first_ctrl_c(call: Callable[[], None]) -> Iterator[None]:
    """Have the first Ctrl-C in this block call `call()`, in a thread of its own: what it breaks in
    on may have a lock. The next is KeyboardInterrupt, as ever. For the main thread.
    """
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        threading.Thread(target=call, daemon=True).start()

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
