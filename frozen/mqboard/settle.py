"""What settles a boot: healthy, then reachable; an image on trial is confirmed or given up.

The board runs this once, at first, and forgets the module when it is done.
"""

import asyncio

import machine
from esp32 import NVS, Partition

from mqboard import slots
from mqboard.bootrecord import NAMESPACE, Store, Trial, count_from_zero
from mqboard.clock import ticks_diff, ticks_ms

ONCE = ("mqboard.settle", "mqboard.bootrecord", "mqboard.slots", "mqwire.flash")


async def settle(board):
    """Wait until `board` is healthy and reachable; then keep its configuration, confirm its image.

    An image on trial that takes too long is rolled back instead.
    """
    me = board.identity
    settings = board.config
    store = Store(NVS(NAMESPACE))
    started = ticks_ms()
    while board.supervisor.calm_s() < settings.health_s or not board.supervisor.trusty():
        await _give_up_late(board, store, started, "healthy")
    if me.mode == "normal":
        count_from_zero(machine.RTC().memory)
    while not (board.client.connected and await board.prove()):
        await _give_up_late(board, store, started, "reachable over MQTT")
    if store.get("config") != settings.text:
        try:
            store.set("config", settings.text)
        except OSError as error:
            board.log.error("the configuration cannot be kept in NVS: %s", error)
    settings.text = None  # kept: nothing needs it any more
    if me.slot_state == "pending":
        try:
            board.check_update()
        except Exception as error:
            Trial(store).blame("it cannot take updates: %r" % error)
            await board.restart("rollback")
        Partition.mark_app_valid_cancel_rollback()
        Trial(store).confirmed()
        me.slot_state = slots.read_state(Partition, Partition(Partition.RUNNING))
        me.failed = None
        board.log.info("image %s confirmed", me.version)
        board.announce()
    board.settled = True


async def _give_up_late(board, store, started, wanted):
    await asyncio.sleep(0.1)
    limit = board.config.confirm_s
    if ticks_diff(ticks_ms(), started) > limit * 1000 and board.identity.slot_state == "pending":
        Trial(store).blame("it did not become %s within %d s" % (wanted, limit))
        await board.restart("rollback")
