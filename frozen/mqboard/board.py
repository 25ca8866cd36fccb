"""The composition root: builds the on-board objects, hands them to each other, and runs them.

This and main.py are where the logic meets machine, network and esp32. `Board` is also what a
user's module gets: `async def start(board, settings)` finds client, log, config and supervisor.
"""

import asyncio
import os
import sys

import machine
import network
from esp32 import NVS, Partition

import mqbuild
import mqwire
from mqboard import config, identity, link, log, net, slots
from mqboard.bootrecord import BootRecord, Store, Trial
from mqboard.clock import jitter, ticks_diff, ticks_ms
from mqboard.mqtt import Client
from mqboard.repl import Repl
from mqboard.router import Router
from mqboard.supervisor import Supervisor

_CONFIG = "/config.json"
_OTADATA = 0  # the subtype of the otadata partition
_PROOF_EVERY_S = 30
_PROOF_TIMEOUT_S = 10
_GOODBYE_S = 3


class Unprovisioned(Exception):
    """The board has no configuration to reach a broker with."""


class Board:
    """Everything of one board. `run()` returns only by an exception."""

    def __init__(self):
        self.console = log.Console()
        os.dupterm(self.console)
        self.log = log.Logger("board")
        self._store = Store(NVS("mqboard"))
        self._trial = Trial(self._store)
        cause = machine.reset_cause()
        self.identity = me = identity.Identity(mqbuild, "%08x" % jitter(1 << 30))
        me.reset_cause = identity.RESET_CAUSES[cause if 0 <= cause < 6 else 0]
        self._record = BootRecord(machine.RTC().memory, cause == machine.PWRON_RESET)
        self._running = Partition(Partition.RUNNING)
        found = Partition.find(Partition.TYPE_DATA, subtype=_OTADATA)
        self._otadata = found[0] if found else None
        me.slot = slots.label(self._running)
        me.slot_state = self._state(self._running)
        if self._record.safe_mode() and me.slot_state != "pending":
            me.mode = "safe"
        self.log.info(
            "%s %s, slot %s (%s), %s mode, reset cause %s",
            me.board,
            me.version,
            me.slot,
            me.slot_state,
            me.mode,
            me.reset_cause,
        )
        self.config = self._load_config()
        self._watchdog = machine.WDT(timeout=int(self.config.watchdog_s * 1000))
        self.supervisor = Supervisor(self._watchdog.feed, log.Logger("tasks"))
        self.reached = asyncio.Event()  # a command sent to our own topic came back
        self._news = asyncio.Event()  # the birth message changed
        self._build_network()
        self._build_commands()

    def run(self):
        """Run the board, for ever."""
        try:
            asyncio.run(self._main())
        finally:
            os.dupterm(None)

    def _state(self, partition):
        return slots.state(self._otadata, partition) if self._otadata else "undefined"

    def _load_config(self):
        try:
            loaded, complaint = config.load(_CONFIG, self._store)
        except config.ConfigError as error:
            os.dupterm(None)
            if self.identity.slot_state == "pending":
                raise  # the image before this one may understand the configuration
            raise Unprovisioned("no usable configuration: %s" % error)
        if complaint:
            self.log.error("%s", complaint)
        try:
            log.set_level(loaded.log_level)
        except KeyError:
            self.log.error("log.level: %s is not a level", loaded.log_level)
        return loaded

    def _build_network(self):
        settings = self.config
        wlan = network.WLAN(network.STA_IF)
        self.link = link.WifiLink(wlan, settings.networks, log.Logger("link"))
        client_id = "mqb-" + "".join(["%02x" % byte for byte in machine.unique_id()])
        will = (mqwire.status_topic(settings.prefix), identity.offline("connection lost"), 1, True)
        self.client = Client(
            net.opener(self.link, settings.host, settings.port),
            client_id,
            user=settings.user,
            password=settings.password,
            keepalive=int(settings.keepalive),
            will=will,
            log=log.Logger("mqtt"),
        )
        self.client.on_up = self._news.set

    def _build_commands(self):
        client = self.client
        self.router = router = Router(
            self.config.prefix, client.publish, client.publish_now, log.Logger("router")
        )
        repl = Repl(self.console, {"__name__": "__main__", "board": self})
        try:
            self._spare = self._running.get_next_update()
        except OSError:
            self._spare = None
        self._receiver = None
        router.register("eval", repl.eval)
        router.register("info", self._info)
        router.register("reset", self._reset)
        router.register("update", self._update)
        router.register("cancel", self._cancel)

    # The tasks.

    async def _main(self):
        me = self.identity
        me.image = await slots.image_hash(self._running)
        other = self._state(self._spare) if self._spare else "undefined"
        me.failed = self._trial.resolve(me.image, other, me.reset_cause)
        commands = mqwire.command_filter(self.config.prefix)
        await self.client.subscribe(commands, self.router.on_message)
        add = self.supervisor.add
        add("link", self.link.run)
        add("mqtt", self.client.run)
        add("commands", self.router.run)
        add("birth", self._announce)
        add("log", lambda: self.console.run(self._publish_line))
        add("proof", self._prove)
        add("confirm", self._confirm)
        if me.mode == "normal":
            for name, settings in self.config.modules.items():
                self._add_module(name, settings)
        await self.supervisor.run()

    def _add_module(self, name, settings):
        async def start():
            await __import__(name).start(self, settings)

        self.supervisor.add("module " + name, start, vital=False)

    async def _publish_line(self, line):
        return await self.client.publish(mqwire.log_topic(self.config.prefix), line)

    async def _announce(self):
        """Publish the birth message on every connection and whenever it changed."""
        topic = mqwire.status_topic(self.config.prefix)
        while True:
            await self._news.wait()
            self._news.clear()
            await self.client.publish(topic, self.identity.birth(), qos=1, retain=True)

    async def _prove(self):
        """Prove now and then that commands reach us: send one to ourselves and wait for it."""
        while True:
            await self.client.up.wait()
            ident = "%08x" % jitter(1 << 30)
            back = asyncio.Event()
            self.router.expect_ping(ident, back.set)
            topic = mqwire.command_topic(self.config.prefix, "ping", ident)
            try:
                await asyncio.wait_for(self.client.publish(topic, qos=1), _PROOF_TIMEOUT_S)
                await asyncio.wait_for(back.wait(), _PROOF_TIMEOUT_S)
                self.reached.set()
            except asyncio.TimeoutError:
                self.reached.clear()
                self.log.warning("our own command topic does not reach us")
            await asyncio.sleep(_PROOF_EVERY_S if self.reached.is_set() else 1)

    async def _confirm(self):
        """Settle this boot: healthy, then (when reachable too) confirm the image, or give it up."""
        me = self.identity
        settings = self.config
        started = ticks_ms()
        while self.supervisor.calm_s() < settings.health_s or not self.supervisor.trusty():
            await self._give_up_late(started, "healthy")
        if me.mode == "normal":
            self._record.healthy()
        while not self.reached.is_set():
            await self._give_up_late(started, "reachable over MQTT")
        if self._store.get("config") != settings.text:
            self._store.set("config", settings.text)
        if me.slot_state == "pending":
            Partition.mark_app_valid_cancel_rollback()
            self._trial.confirmed()
            me.slot_state = self._state(self._running)
            me.failed = None
            self.log.info("image %s confirmed", me.version)
            self._news.set()

    async def _give_up_late(self, started, wanted):
        await asyncio.sleep(0.1)
        late = ticks_diff(ticks_ms(), started) > self.config.confirm_s * 1000
        if late and self.identity.slot_state == "pending":
            self._trial.blame("it did not become %s within %d s" % (wanted, self.config.confirm_s))
            await self.restart("rollback")

    # Commands and endings.

    async def _info(self, request):
        await request.reply(self.identity.info(self.link.address()))

    async def _reset(self, request):
        """Reset on purpose; leaves safe mode."""
        await request.reply(b"OK")
        await self.restart("reset command")

    async def _update(self, request):
        """The receiver comes into being with the first offer: an idle board has 6 KB more."""
        if not self._receiver:
            from mqboard.inflate import inflate
            from mqboard.update import Receiver

            self._receiver = Receiver(
                self._spare,
                self.identity,
                inflate,
                self.client.subscribe,
                self.client.unsubscribe,
                self._install,
                lambda: self.restart("update"),
                log.Logger("update"),
            )
            self.supervisor.add("update", self._receiver.run)
        await self._receiver.update(request)

    async def _cancel(self, request):
        if self._receiver:
            await self._receiver.cancel()
        await request.reply(b"OK")

    def _install(self, offer):
        self._spare.set_boot()
        self._trial.begin(offer.sha256, offer.version)

    async def restart(self, reason):
        """Say goodbye and reset; not counted as a crash."""
        self.log.info("restarting: %s", reason)
        topic = mqwire.status_topic(self.config.prefix)
        try:
            if self.client.connected:
                goodbye = self.client.publish(topic, identity.offline(reason), qos=1, retain=True)
                await asyncio.wait_for(goodbye, _GOODBYE_S)
        except (OSError, asyncio.TimeoutError) as error:
            sys.print_exception(error)
        self._record.healthy()
        machine.reset()
