"""Builds the on-board objects and hands them to each other: the composition root.

`assemble` is called once, by main.py. Only this module and the thinnest edge know the hardware.
"""

import os

import machine
import network
from esp32 import NVS, Partition

import mqboard
import mqbuild
import mqwire
from mqboard import config, identity, log, net
from mqboard.board import Board
from mqboard.clock import jitter
from mqboard.health import blackbox, bootrecord
from mqboard.health.supervisor import Supervisor
from mqboard.mqtt import Client
from mqboard.net.link import Link
from mqboard.phases import mark, taken
from mqboard.router import Router
from mqboard.timeofday import Clock
from mqboard.update import slots
from mqwire import flash

_NOTING = "looking for records of crashes"
_RESET_CAUSES = ("unknown", "power-on", "reset", "watchdog", "deepsleep", "soft")


class Unprovisioned(Exception):
    """Raised when the board has no configuration to reach a broker with."""


def assemble():
    """Build and return the Board. Raises Unprovisioned."""
    mark("modules")
    console = log.Logger.console = log.Console()
    os.dupterm(console)
    store = bootrecord.Store(NVS(bootrecord.NAMESPACE))
    last = bootrecord.kept_number(store, "time")
    clock = log.Logger.clock = Clock(mqbuild.BUILD_TIME, last)
    logger = log.Logger("board")
    memory = machine.RTC().memory
    cause = machine.reset_cause()
    cause = _RESET_CAUSES[cause if 0 <= cause < len(_RESET_CAUSES) else 0]
    woke = _kept_over_sleep(memory, cause)
    before = _last_words(memory, cause)
    box = blackbox.BlackBox(memory, before.unhealthy, before.wanted)
    console.on_line = box.line
    me = _identify(store, before, cause)
    mark("identity")
    logger.info(
        "%s %s, slot %s (%s), %s mode, reset cause %s",
        me.board,
        me.version,
        me.slot,
        me.slot_state,
        me.mode,
        me.reset_cause,
    )
    _note_crash(before, me, box, store, logger)
    if me.storage:
        logger.error("filesystem %s", me.storage)
    settings = _load_config(store, me, logger)
    if store.get("app"):
        from mqboard.apps import boot  # boards without an application have the memory

        boot.load(store, me, settings, logger)
    mark("configuration")
    me.confirm_s = settings.confirm_s
    if not settings.allow_downgrade:
        me.oldest = bootrecord.kept_number(store, "seq")
        if me.slot_state in flash.CONFIRMED_STATES:
            me.oldest = max(me.oldest, me.floor)
    timeout_ms = int(settings.timeout_s * 1000)
    watchdog = machine.WDT(timeout=timeout_ms)
    supervisor = Supervisor(watchdog.feed, timeout_ms, box, log.Logger("tasks"))
    the_link = _link(settings)
    brokers = _brokers(settings, the_link, clock)
    client = _client(settings, the_link, brokers, me, clock)
    router = Router(settings.prefix, client.publish, client.publish_now, log.Logger("router"))
    board = Board(console, me, box, settings, supervisor, the_link, client, router, clock)
    if brokers:
        board.brokers = brokers
    if hasattr(the_link, "links"):  # several networks
        the_link.client, the_link.busy, the_link.goodbye = client, board.busy, board.say_goodbye
    if settings.power:
        from mqboard.power import chip
        from mqboard.power.power import Power

        board.power = Power(board, woke, chip, watchdog.feed)
    if settings.auth:
        from mqboard.auth import Guard  # most boards leave it to their broker who may command them

        key = settings.auth["key"]
        me.guard = router.guard = Guard(key, board.announce, log.Logger("auth"))
    if before.crashed(me.reset_cause):
        board.culprit = before.running
        is_module = settings.modules and board.culprit.startswith("module ")
        if is_module and not _was_on_trial(before, me, settings):
            _blame(board, before, store, logger)
    mark("board")
    logger.debug("boot: %s", taken())
    return board


def _kept_over_sleep(memory, reset_cause):
    """Return what mqboard.power kept for this wake, None if this is none."""
    if reset_cause != "deepsleep":
        return None
    from mqboard.power import record  # most boards never sleep

    return record.read(memory())


def _last_words(memory, reset_cause):
    """Return what the boot before this one left."""
    from mqboard.health import lastwords

    words = lastwords.read(b"" if reset_cause == "power-on" else memory())
    words.forgive(reset_cause)
    return words


def _identify(store, before, reset_cause):
    """Find out who this board is, what runs on it, and what became of the last update."""
    me = identity.Identity(mqbuild, "%08x" % jitter(1 << 30), machine.unique_id())
    me.storage = mqboard.storage
    me.reset_cause = reset_cause
    running = Partition(Partition.RUNNING)
    me.slot = slots.label(running)
    me.slot_state = slots.read_state(Partition, running)
    if before.safe_mode() and me.slot_state != "pending":
        me.mode = "safe"
    me.image = slots.image_hash(running, store)
    try:
        other = slots.read_state(Partition, running.get_next_update())
    except OSError:
        other = "undefined"
    me.failed = bootrecord.Trial(store).resolve(me.image, other, me.reset_cause)
    return me


def _note_crash(before, me, box, store, logger):
    """Keep a record of a boot that ended badly; count what there is of them.

    No record is worth a boot: whatever a damaged filesystem does to this, the board goes on.
    """
    from mqboard.health import crash

    spent_s = crash.owed_s(before)
    crashed = before.crashed(me.reset_cause)
    if crashed:
        logger.error("the boot before ended badly; it ran: %s", before.running or "unknown")
    if not crashed or before.running != _NOTING:
        box.run(_NOTING)
        records = crash.Records(crash.FOLDER, store)
        try:
            if crashed:
                spent_s = crash.note(before, me, records)
        except Exception as error:
            logger.exception(error, "there is no record of that")
        me.crashes = len(records.numbers())
        box.run("")
    box.describe(bytes.fromhex(me.image), me.mode == "safe", spent_s)


def _was_on_trial(before, me, settings):
    """Return whether the boot before had another image, or another configuration, and this one came
    back: its modules may run well with what there is now.
    """
    return settings.came_back or bool(before.image) and before.image != bytes.fromhex(me.image)[:8]


def _blame(board, before, store, logger):
    """Count a crash of a module. Where the last one disables it, what made boots fail is gone:
    there is no need for safe mode, and they are counted from zero.
    """
    from mqboard.modules.crashes import blame

    if blame(board.culprit, board.config.modules, store, logger):
        board.blackbox.healthy()
        if board.identity.mode == "safe" and not before.wanted:
            board.identity.mode = "normal"
            logger.warning("normal mode: that module is disabled now")


def _load_config(store, me, logger):
    text = None
    if store.get("config_trial"):
        from mqboard.health import configtrial  # only while there is something to it

        me.config, text = configtrial.resolve(store, config.PATH, me.reset_cause, logger)
    try:
        if me.trying():
            loaded = config.parse(text)  # what was good once does not stand in for it
            loaded.trial = True
            complaint = loaded.complaint
        else:
            loaded, complaint = config.load(config.PATH, store, text)
            loaded.came_back = text is not None
    except config.ConfigError as error:
        os.dupterm(None)
        if me.trying() or me.slot_state == "pending":
            raise  # main.py resets, and then the configuration or the image before it is back
        raise Unprovisioned("no usable configuration: %s" % error)
    if complaint:
        logger.error("%s", complaint)
    log.set_levels(loaded.level, loaded.levels)
    return loaded


def _link(settings):
    logger = log.Logger("link")
    if settings.country:
        network.country(settings.country)
    if settings.hostname:
        network.hostname(settings.hostname)
    links = [(way, _make_link(way, settings, logger)) for way in settings.order]
    settings.order = None  # nobody needs it any more
    if len(links) == 1:
        return links[0][1]
    from mqboard.net.order import Order  # most boards have one network

    return Order(links, settings.wait_s, logger)


def _make_link(way, settings, logger):
    if way == "wifi":
        return Link(network.WLAN(network.STA_IF), way, settings.networks, logger)
    return Link(None, way, getattr(settings, way), logger)


def _opener(settings, the_link, clock):
    if not settings.tls:
        return net.opener(the_link, settings.host, settings.port)
    from mqboard import credentials  # only a board with TLS needs it

    return credentials.opener(settings, settings, the_link, clock)


def _brokers(settings, the_link, clock):
    """Return the brokers of a board that has two, otherwise None."""
    if not settings.fallback:
        return None
    from mqboard.credentials import opener_maker  # few boards need it
    from mqboard.net.fallback import Broker, Brokers

    pairs = [
        (broker, opener_maker(broker, settings, the_link, clock))
        for broker in (settings, Broker(settings.fallback, settings))
    ]
    return Brokers(pairs[0], pairs[1], the_link, log.Logger("mqtt"))


def _client(settings, the_link, brokers, me, clock):
    kind, options = _protocol(settings)
    client = kind(
        brokers.open if brokers else _opener(settings, the_link, clock),
        "mqb-" + me.id,
        user=settings.user,
        password=settings.password,
        keepalive=int(settings.keepalive),
        rx_size=mqwire.MAX_PACKET,
        will=(mqwire.status_topic(settings.prefix), me.offline("connection lost"), 1, True),
        log=log.Logger("mqtt"),
        **options,
    )
    if brokers:
        brokers.client = client
    return client


def _protocol(settings):
    """Return (the class of the client, its further options) for the version of MQTT."""
    if settings.power:
        from mqboard.power.client import SleepersClient

        return SleepersClient, {"clean": False}
    if settings.version != "3.1.1":
        try:
            from mqboard.mqtt5.managed import protocol

            return protocol(settings)
        except ImportError:
            log.Logger("mqtt").error("no MQTT 5 in this firmware")
    return Client, {}
