"""Decides when the setup network is open: while a board has no configuration, or as `setup` says.

A board without one opens it when power comes, when it is reset, and when what it was given has
failed; not when the watchdog resets it. A board with one never does by itself: only where
`setup.after_s` or `setup.pin` says so.
"""

import asyncio

import machine
from esp32 import NVS
from micropython import const

from mqboard.config import PATH
from mqboard.health import configtrial
from mqboard.health.bootrecord import NAMESPACE, Store, parse
from mqboard.log import Logger
from mqwire.config import MAX_KEPT, MAX_TRIAL_S, SETUP_S

_WATCHDOG_MS = const(60_000)
_LOOK_S = const(1)


class _Enough(Exception):
    """Raised when the setup network is not needed any more."""


def unprovisioned():
    """Open it on a board without a usable configuration, if what there is has `setup`. Returns when
    there is none, or its time is over; resets when the board has been given one."""
    portal = None
    try:
        portal = _prepared()
        if portal:
            watchdog = machine.WDT(timeout=_WATCHDOG_MS)
            asyncio.run(portal.run(watchdog.feed))
    except Exception as error:  # a prompt is better than to reset for ever
        Logger("setup").exception(error, "there is no setup network")
    if portal and portal.taken:
        machine.reset()


def _prepared():
    """Return the Portal of a board without a usable configuration, or None."""
    store = Store(NVS(NAMESPACE))
    base = _read()
    setup = base.get("setup")
    fresh = machine.reset_cause() in (machine.PWRON_RESET, machine.HARD_RESET)
    if not isinstance(setup, dict) or not isinstance(setup.get("password"), str) or not fresh:
        return None
    failed = parse(store.get(configtrial.MARK), dict) or {}
    why = failed.get("reason") or ""
    window_s = setup.get("window_s")
    setup["window_s"] = min(max(window_s, 60), 3600) if isinstance(window_s, int) else SETUP_S
    kept = {key: base[key] for key in ("setup", "update") if key in base}
    return _make(setup, kept, store, why and "The last try failed: " + why)


async def watch(board):
    """Open it on a board that runs, when its pin is low at the start or nothing was reached for
    `setup.after_s`, sleeps included; once until the broker is reached again."""
    setup, power = board.config.setup, board.power
    wanted = _pressed(setup["pin"])
    while True:
        # Not while the client is connected: a broker that says nothing is no reason.
        silent = setup["after_s"] and not board.client.connected
        if silent:
            silent_ms = board.reach.silent_ms + (power.apart_ms if power else 0)
            silent = silent_ms >= setup["after_s"] * 1000 and not (power and power.opened)
        store = Store(NVS(NAMESPACE))
        if (wanted or silent) and not _on_trial(board) and not board.busy():
            # What it goes back to must be there.
            good = parse(store.get("config", MAX_KEPT), dict)
            if good:
                if power and not wanted:
                    power.note_opened()
                await _open(board, _make(setup, good, store, ""), wanted)
                wanted = False
            while not board.client.connected:
                await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(_LOOK_S)


def _pressed(pin):
    if pin is None:
        return False
    try:
        return not machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP).value()
    except Exception as error:  # this chip has no such pin: `after_s` holds all the same
        Logger("setup").error("setup.pin %s cannot be read: %r", pin, error)
        return False


def _on_trial(board):
    me = board.identity
    return me.trying() or me.slot_state == "pending"


async def _open(board, portal, wanted):
    def turn():
        if not wanted and board.client.connected:
            raise _Enough

    links = getattr(board.link, "links", (board.link,))
    power = board.power
    try:
        if power:
            power.hold()
        for link in links:
            link.held = True  # its radio is needed
        await portal.run(turn)
    except _Enough:
        pass
    finally:
        for link in links:
            link.held = False
        if power:
            power.release()
    if portal.taken:
        await board.restart("a new configuration")


def _make(setup, base, store, why):
    import network

    from mqboard.portal.portal import Portal  # while nobody needs it, it is not there

    interface = network.WLAN(network.AP_IF)
    name = "mqboard-" + "".join(["%02x" % byte for byte in machine.unique_id()[-2:]])

    def take(text):
        from mqboard.commands import config as command

        try:
            text, values, _ = command.checked(text, "{}")
            configtrial.begin(store, PATH, text, "setup")
        except command.Refused as error:
            raise ValueError(str(error))
        except OSError as error:
            raise ValueError("it cannot be stored: %s" % error)
        return min(values.confirm_s, MAX_TRIAL_S)

    return Portal(interface, name, setup, base, take, Logger("setup"), why)


def _read():
    try:
        with open(PATH) as file:
            return parse(file.read(), dict) or {}
    except (OSError, ValueError):
        return {}
