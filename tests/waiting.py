"""Waits until something has happened in another thread or process, which tells nobody of it."""

import time

TICK = 0.01


def wait_until(condition, timeout=20.0, otherwise="it did not happen in time"):
    """Return what `condition()` gives as soon as that is true; fail with the text `otherwise`.

    `otherwise` may be a function that makes the text, from what is there at the end.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        late = time.monotonic() >= deadline
        assert not late, otherwise() if callable(otherwise) else otherwise
        time.sleep(TICK)
    return found
