"""Starts the board and guards it: whatever it dies of ends in a reset, never at a prompt unasked.

An image on trial that cannot even start is rolled back by the bootloader after the reset; a
confirmed one counts its failed boots and ends in safe mode. mqboard.startup composes the board.
"""

import gc
import sys
import time

import machine

_reset = machine.reset  # bound now: when the heap is full nothing can be looked up


def _start():
    # Not at the top: whatever keeps it from loading must end in the reset below.
    from mqboard.startup import Unprovisioned, assemble

    try:
        board = assemble()
        assemble = None  # or its module would stay, with all that only a boot needs
        board.run()
        raise RuntimeError("the board's event loop has ended")
    except Unprovisioned as error:
        from mqboard.portal.begin import unprovisioned
        from mqboard.prompt import explain

        unprovisioned()
        explain(error)
    except KeyboardInterrupt:
        print("Stopped: this is the MicroPython prompt. Ctrl-D starts the board again;")
        print("in an hour the watchdog does, too.")


def _guard():
    # A function: with a full heap a module's names could not take one more, but locals have room.
    try:
        try:
            _start()
        except KeyboardInterrupt:
            pass  # Ctrl-C once more, while it took its leave
        from mqboard.prompt import give

        give()
    except BaseException as error:  # nobody is there to read a traceback at a prompt
        try:
            gc.collect()  # what it died of may be a full heap
            sys.print_exception(error)

            from esp32 import NVS

            from mqboard.health.bootrecord import NAMESPACE, Store, Trial
            from mqwire.codes import CRASH

            last_line = "%s: %s" % (type(error).__name__, error)
            Trial(Store(NVS(NAMESPACE))).blame(CRASH, last_line)

            from mqboard.health import lastwords

            lastwords.note(error, machine.RTC().memory)
            time.sleep(1)
        finally:
            _reset()


_guard()
