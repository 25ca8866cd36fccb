"""The guard around everything: runs the board, and never ends at a prompt unasked.

An image on trial that cannot even start is rolled back by the bootloader after the reset; a
confirmed one counts its failed boots and ends in safe mode. mqboard.board is the composition root.
"""

import machine

_PROMPT_MS = 3_600_000  # how long somebody may sit at the console before the watchdog resets


def _start():
    from mqboard.board import Board, Unprovisioned

    try:
        Board().run()
    except KeyboardInterrupt:
        print("Stopped: this is the MicroPython prompt; machine.reset() starts the board again.")
    except Unprovisioned as error:
        print("%s. Write /config.json, then machine.reset()." % error)
    machine.WDT(timeout=_PROMPT_MS).feed()


try:
    _start()
except BaseException as error:  # nobody is there to read a traceback at a prompt
    import sys
    import time

    sys.print_exception(error)
    try:
        from esp32 import NVS

        from mqboard.bootrecord import Store, Trial

        Trial(Store(NVS("mqboard"))).blame("it stopped with %r" % error)
    finally:
        time.sleep(1)
        machine.reset()
