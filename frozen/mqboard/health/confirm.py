"""Waits until a boot is healthy, then reachable; confirms the image, the configuration or the
application that is on trial, or has the one before it come back.

The board runs this once, at first.
"""

import asyncio

from esp32 import NVS, Partition

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.health.bootrecord import NAMESPACE, Store, Trial, keep_seq, parse
from mqboard.phases import mark, taken
from mqboard.update import slots
from mqwire import codes, flash
from mqwire.config import MAX_KEPT, MAX_TRIAL_S

_GOOD = "good_"  # and the slot's label: key in the store of what is known of the image there


async def settle(board):
    """Wait until `board` is healthy and reachable; then keep its configuration, confirm its image.

    What is on trial and takes too long is rolled back instead.
    """
    me = board.identity
    settings = board.config
    store = Store(NVS(NAMESPACE))
    trial = _Watch(board, Trial(store))
    if settings.app_trial:
        from mqboard.apps.trial import AppTrial  # as in startup

        trial.app = AppTrial(board, store)
    while board.supervisor.calm_s() < settings.health_s or trial.trouble():
        await trial.turn(False)
    mark("healthy")
    if me.mode == "normal":
        board.blackbox.healthy()
    while not (board.client.connected and await board.reach.prove() and not trial.trouble()):
        await trial.turn(not trial.trouble())
    mark("reachable")
    if settings.trial and settings.auth and _key(store) != settings.auth["key"]:
        # Who has mistyped it must be able to come back.
        while not board.router.guard.proven:
            await trial.turn(True, codes.UNREACHABLE, "no command came with its new auth.key")
    board.log.debug("boot: %s", taken())
    if settings.text:  # None: settled once, and died then
        await _keep_config(board, store)
    if settings.missing:
        from mqboard.config import write_back  # a boot whose file is there has the memory

        write_back(settings.missing, settings.text, board.log)
        settings.missing = ""
    settings.text = None  # kept: nothing needs it any more
    if settings.tls or board.brokers:
        _keep_copies(board, store)
    if settings.app_trial:
        await _confirm_app(board, trial, store)
    on_trial = me.slot_state == "pending"
    if on_trial:
        try:
            _check_update(board)
        except Exception as error:
            Trial(store).blame(codes.UNHEALTHY, "it cannot take updates: %r" % error)
            await board.restart("rollback")
        Partition.mark_app_valid_cancel_rollback()
        me.slot_state = slots.read_state(Partition, Partition(Partition.RUNNING))
        board.log.info("image %s confirmed", me.version)
    # What NVS says of it comes after that, not before: when power is lost in between, the next boot
    # makes good for it, and until then refuses what is older than what runs all the same.
    if on_trial or Trial(store).image() == me.image:
        Trial(store).confirmed()
        me.failed = None
        board.announce()
    if me.slot_state in flash.CONFIRMED_STATES:
        _keep_seq(board, store)
    if me.storage:
        store.erase("storage")  # the birth message has told it
    board.settled = True


async def _keep_config(board, store):
    """Make the configuration the last good one: one on trial has then proved good."""
    me = board.identity
    settings = board.config
    try:
        if settings.trial:
            from mqboard.health import configtrial  # as in startup

            configtrial.keep(store, settings.text, board.log)
            settings.trial = False
            me.config = None
            board.announce()
            board.log.info("the new configuration is confirmed")
        elif store.get("config", MAX_KEPT) != settings.text:
            store.set("config", settings.text)
        settings.kept = True
    except (OSError, MemoryError) as error:
        board.log.error("the configuration cannot be kept in NVS: %s", error)
        if settings.trial:
            Trial(store).blame(codes.FLASH_ERROR, "it cannot be kept in NVS: %s" % error)
            await board.restart("back to the last good configuration")


def _keep_copies(board, store):
    """Keep copies of certificates: those of the next boot, if there is no memory for them now."""
    try:
        from mqboard import copies  # as in startup: only a board with TLS needs it

        copies.keep(board.config, board.brokers, store, board.log)
    except MemoryError as error:
        board.log.error("certificates cannot be kept in NVS: %s", error)


async def _confirm_app(board, trial, store):
    try:
        await trial.app.confirm()
    except (OSError, MemoryError) as error:
        Trial(store).blame(codes.FLASH_ERROR, "it cannot be kept in NVS: %s" % error)
        await board.restart("back to the previous application")


def _key(store):
    """Return the key of commands in the last good configuration, None if there is none."""
    last = parse(store.get("config", MAX_KEPT), dict) or {}
    return (last.get("auth") or {}).get("key")


def _check_update(board):
    """Raise whatever keeps this firmware from taking an update."""
    from mqboard.commands.update import make_receiver

    make_receiver(board)


def _keep_seq(board, store):
    me = board.identity
    try:
        keep_seq(store, me.floor)
        # So that the command rollback knows what it would go back to.
        _note_good(me, store)
    except OSError as error:
        board.log.error("the image's seq cannot be kept in NVS: %s", error)
    if not board.config.allow_downgrade:
        me.oldest = max(me.oldest, me.floor)


def _note_good(me, store):
    good = "%s %d %s" % (me.image, me.build.SEQ, me.version)
    if store.get(_GOOD + me.slot) != good:
        store.set(_GOOD + me.slot, good)


def read_good(label, store):
    """Return (hash, seq, version) of the image last confirmed in a slot, None if none was."""
    good = (store.get(_GOOD + label) or "").split(" ", 2)
    try:
        return good[0], int(good[1]), good[2]
    except (ValueError, IndexError):
        return None


class _Watch:
    """Waits with what is on trial, and has the one before it come back when its time is over."""

    app = None  # the mqboard.apps.trial.AppTrial of an application on trial

    def __init__(self, board, trial):
        self._board = board
        self._trial = trial
        self._started = ticks_ms()
        self._had_network = False
        self._had_broker = False

    async def turn(self, healthy, *verdict):
        """Wait a moment; `verdict`: code and reason, where it is known what is waited for."""
        board = self._board
        if not self._had_network and board.link.connected():
            self._had_network = True
            mark("network")
        if not self._had_broker and board.client.connected:
            self._had_broker = True
            mark("broker")
        await asyncio.sleep(0.1)
        trial = board.config.trial or self.app
        limit = board.config.confirm_s
        if trial:
            limit = min(limit, MAX_TRIAL_S)
        lost = self.app.verdict() if self.app else ""
        late = ticks_diff(ticks_ms(), self._started) > limit * 1000
        if lost:
            self._trial.blame(codes.UNHEALTHY, lost)
        elif late and (trial or board.identity.slot_state == "pending"):
            code, reason = verdict or self._verdict(healthy)
            trouble = self.trouble()
            reason = "%s within %d s%s" % (reason, limit, trouble and ": " + trouble)
            self._trial.blame(code, reason)
        else:
            return
        if self.app:
            self.app.keep_trace()
            await board.restart("back to the previous application")
        await board.restart("back to the last good configuration" if trial else "rollback")

    def trouble(self):
        """Return what keeps the modules of an application on trial from being well, or ""."""
        return self.app.trouble() if self.app else ""

    def _verdict(self, healthy):
        if not healthy:
            return codes.UNHEALTHY, "it did not become healthy"
        if not self._had_network:
            return codes.NO_NETWORK, "it did not get onto a network"
        if not self._had_broker:
            return codes.NO_BROKER, "it was on a network, but did not reach its broker"
        return codes.UNREACHABLE, "its own command did not come back over MQTT"
