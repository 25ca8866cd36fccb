"""Has an NTP server set the clock, and keeps the time in NVS for when the power goes.

That is due four times a day (see mqboard.timeofday). For that it is loaded, and then unloaded: it
takes 1 KB of an ESP32's heap, which an idle board has for the user.
"""

from esp32 import NVS
from micropython import const

from mqboard.clock import jitter
from mqboard.health.bootrecord import NAMESPACE, Store, kept_number
from mqboard.log import Logger

_EVERY_S = const(6 * 3600)
_JITTER_S = const(600)  # a fleet that came back together need not ask together for ever
_PAUSE_S = const(60)
_AGAIN_S = const(3600)
# Keeping the time takes 3 of the 126 entries in a page of NVS. With five pages that take turns,
# each is erased after 50 days, and flash is good for 100,000 of that. Boots may be more frequent.
_KEEP_AFTER_S = const(3600)
_DAY_S = const(86400)


async def synchronize(board):
    """Have the clock set by NTP, if that is configured; keep the time once there is a broker."""
    clock = board.clock
    clock.busy = True
    clock.due_in = _EVERY_S + jitter(_JITTER_S)
    try:
        if board.config.ntp:
            await _set(clock, board.config.ntp, board.link, board.client.connects)
        await board.client.up.wait()
        # No wrong time is kept: over TLS the broker's certificate was checked by it.
        proved = board.client.connects > clock.unproved
        store = Store(NVS(NAMESPACE))
        if proved and not 0 <= clock.now() - kept_number(store, "time") < _KEEP_AFTER_S:
            store.set("time", "%d" % clock.now())
    except (OSError, MemoryError) as error:
        Logger("clock").error("the time cannot be kept in NVS: %s", error)
    finally:
        clock.busy = False


async def doubt(clock, server, link):
    """Have `clock` set again: a certificate is not valid by it. But that may really be over, and
    nobody is asked again within the hour after he told the time.
    """
    if server and (not clock.trusted or clock.due_in < _EVERY_S - _AGAIN_S):
        clock.due_in = _EVERY_S + jitter(_JITTER_S)
        await _set(clock, server, link, -1)
    if (not clock.trusted or clock.unproved >= 0) and not clock.gone_back:
        _go_back(clock)


def _go_back(clock):
    """Set the clock back to the last time that was kept, which a connection had proved: a wrong one
    outlives resets, and with it no connection would ever be made again.

    Once in a boot: the certificate may really be over.
    """
    proved = max(clock.built, kept_number(Store(NVS(NAMESPACE)), "time"))
    if clock.now() - proved > _DAY_S:
        clock.set(proved, "last known", -1)
        clock.trusted = False
        clock.gone_back = True
        Logger("clock").warning("no certificate is valid now: back to the last time known")


async def _set(clock, server, link, connects):
    """Set `clock` to the time that `server` tells; log what came of it."""
    from mqboard.net import sntp

    log = Logger("clock")
    try:
        now = await sntp.ask(server, dns=link.dns())
        off = now - clock.now()
        right = clock.trusted and abs(off) <= 1
        if not right:
            clock.set(now, "ntp", connects)
    except (OSError, ValueError) as error:
        if clock.pause < clock.pause_max:  # it is known by now
            log.warning("no time from %s: %s", server, error)
        clock.pause = clock.due_in = min(2 * clock.pause or _PAUSE_S, clock.pause_max)
        return
    clock.pause = 0
    if not right:
        log.info("set by %s: it was %d s %s", server, abs(off), "slow" if off >= 0 else "fast")
