"""Runs the board: starts its tasks, answers its own commands, and ends it by a reset.

`Board` is also what a user's module gets: `async def start(board, settings)` finds client, log,
config, clock, reach and supervisor.
"""

import asyncio
import gc
import os
import sys

import machine
from esp32 import NVS
from micropython import const

import mqwire
from mqboard.health import blackbox
from mqboard.health.reach import Reach
from mqboard.log import Logger
from mqboard.router import EACH, FILES, MANAGEMENT
from mqboard.seldom import unload

_PROOF_EVERY_S = const(30)
_GOODBYE_S = const(3)
_ROOM_S = const(2)  # without memory for a birth, until the next attempt
_ALIVE_S = const(10)  # so often the black box is told that we live


class Board:
    """Everything of one board, built by mqboard.startup. `run()` returns only by an exception."""

    modules = None  # mqboard.modules.runner.Modules, where the configuration names any
    culprit = ""  # what ran when the boot before this one ended badly
    brokers = None  # mqboard.net.fallback, where there is another broker
    power = None  # mqboard.power.power.Power, where the board sleeps between two wakes
    files = None  # mqboard.files.service.Files, while there is something to do with files
    deploying = False  # an application arrives (mqboard.commands.deploy)

    def __init__(self, console, me, box, settings, supervisor, wifi, client, router, clock):
        from mqboard import commands, files  # their names, and those need not stay

        self.console = console
        self.blackbox = box
        self.identity = me
        self.config = settings
        self.supervisor = supervisor
        self.link = wifi
        self.client = client
        self.router = router
        self.clock = clock
        self.log = Logger("board")
        self.reach = Reach(self)
        self.settled = False  # mqboard.health.confirm is done with this boot
        self._news = asyncio.Event()  # the birth message changed
        self.receiver = None  # while an update is under way
        self._twins = None
        self.start_names()
        self.announce = client.on_up = self._news.set
        supervisor.turn = self._turn
        router.make_room = supervisor.make_room
        router.register("info", self._info, MANAGEMENT)
        router.register("reset", self._reset, MANAGEMENT)
        router.register(commands.MANAGING, self._load_and_answer, MANAGEMENT)
        router.register(commands.WORKING, self._load_and_answer)
        router.register(files.COMMANDS, None, FILES)
        router.register("put", None, EACH)
        router.files = self._files

    def start_names(self):
        """Begin anew with the names that code from afar finds, and leaves."""
        self.names = {"__name__": "__main__", "board": self, "machine": machine, "help": self._help}

    def run(self):
        """Run the board, for ever."""
        timer = _last_timer()
        timer.init(period=self.supervisor.look_ms, callback=self.supervisor.look)
        try:
            main = asyncio.create_task(self._main())
            while True:
                try:
                    return asyncio.run_until_complete(main)
                except Exception:
                    raise
                except BaseException as error:
                    from mqboard.health.outlive import outlive

                    outlive(error, main)
        except KeyboardInterrupt:
            from mqboard.prompt import leave

            leave(self)
            raise
        except MemoryError:
            self.blackbox.end(blackbox.FULL)
            self._blame_for_memory()
            raise
        finally:
            timer.deinit()
            os.dupterm(None)
            asyncio.new_event_loop()  # lets go of the tasks, and of all that they held

    def _blame_for_memory(self):
        """Note who probably filled the heap, if nobody is suspected: the only module, unless a
        person did something."""
        module = self.supervisor.let_go()
        asyncio.new_event_loop()
        gc.collect()  # from here on there is room for words
        box = self.blackbox
        if module and not box.evaluated and not box.running:
            box.run(module)

    # The tasks.

    async def _main(self):
        add = self.supervisor.add
        add("link", self.link.run)
        add("mqtt", self.client.run)
        if self.power:
            add("power", self.power.run)  # it has us listen
        else:
            await self.listen()
        if self.brokers:
            # Not vital: one broker is enough to live with.
            back = self.brokers.come_back
            add("brokers", lambda: back(self.busy, self.say_goodbye), vital=False)
        setup = self.config.setup
        if setup and (setup["after_s"] or setup["pin"] is not None):
            from mqboard.portal.begin import watch  # few boards open a setup network

            add("setup", lambda: watch(self), vital=False)
        if self.identity.crashes:
            add("crash", self._publish_crashes, vital=False)
        from mqboard.modules.begin import begin

        begin(self, self._store())
        await self.supervisor.run()

    async def listen(self, on_command=None):
        """Take commands, and say how we are and what we do."""
        commands = mqwire.command_filter(self.config.prefix)
        self.client.vital = commands[:-1]
        await self.client.subscribe(commands, on_command or self.router.on_message)
        await self.client.subscribe(mqwire.status_topic(self.config.prefix), self._hear)
        if self.config.repl and self.config.repl["json"]:
            from mqboard.repl.json import JsonRepl  # few boards are asked that way

            answer = JsonRepl(self, Logger("repl")).take
            # Nobody would know one that a broker sends again.
            await self.client.subscribe(self.config.prefix + "/repl/in", answer, 0)
        if self.supervisor.find("birth"):
            return self.announce()  # again
        add = self.supervisor.add
        add("work", self.router.run)
        add("management", lambda: self.router.run(MANAGEMENT))
        add("birth", self._publish_births)
        add("log", self._publish_log)
        add("proof", self._prove)

    def _publish_log(self):
        topic = mqwire.log_topic(self.config.prefix)
        return self.console.run(lambda line: self.client.publish(topic, line), self.client.up)

    async def _publish_crashes(self):
        from mqboard.health import crash

        await self.client.up.wait()
        topic = mqwire.crash_topic(self.config.prefix)
        await crash.publish(self.crash_records(), self.client.publish, topic)

    def crash_records(self):
        """Return the mqboard.health.crash.Records of this board."""
        from mqboard.health import crash

        return crash.Records(crash.FOLDER, self._store())

    def _store(self):
        from mqboard.health.bootrecord import NAMESPACE, Store  # not to stay

        return Store(NVS(NAMESPACE))

    async def _publish_births(self):
        """Publish the birth message on every connection and whenever it changed."""
        connects = 0
        while True:
            await self._news.wait()
            self._news.clear()
            if connects != self.client.connects:
                connects = self.client.connects
                self.identity.twin = None  # one that is still there will answer
            try:
                await self._publish_birth()
            except MemoryError:  # there is news until somebody has heard it
                self._news.set()
                await asyncio.sleep(_ROOM_S)

    def _hear(self, topic, payload, retained):
        """Take a status on our own topic: what this boot did not say, another board may have."""
        if not retained and self.identity.boot_id.encode() not in bytes(payload):
            if not self._twins:
                from mqboard.twins import Twins  # most boards never hear of another

                self._twins = Twins(self)
            self._twins.hear(payload)

    def _publish_birth(self):
        # Not in `_publish_births`: its frame would keep the message (see mqboard.router).
        topic = mqwire.status_topic(self.config.prefix)
        birth = self.identity.birth(self.link.rssi())
        return self.client.publish(topic, birth, qos=1, retain=True)

    async def _prove(self):
        """Settle this boot; then prove now and then that commands still reach us."""
        # One task for both: asyncio's queue may hold on to a task that has ended, and with it to
        # all that settling took.
        if self.settled:  # before the sleep that has just ended
            await asyncio.sleep(_PROOF_EVERY_S)
        else:
            await self._settle()
        self._unload()
        gc.threshold(-1)  # see _boot.py
        while True:
            await self.client.up.wait()
            await asyncio.sleep(_PROOF_EVERY_S if await self.reach.prove() else 1)

    def _settle(self):
        from mqboard.health.confirm import settle

        return settle(self)

    def _turn(self):
        """Run once a second: keep the console's duplicate; reset a board unreachable for long."""
        os.dupterm(self.console)  # MicroPython takes it away after an error in it
        if not self.supervisor.seconds % _ALIVE_S:
            self.blackbox.alive(self.supervisor.seconds, gc.mem_free())
            self.router.age()
            if self.files and self.files.idle():
                self.files = None
            self._unload()
        for work in (self.receiver, self.files):
            if work:
                work.look()
        self.clock.turn(self)
        late = self.reach.turn()
        if late and not self.config.trial:  # which has a time of its own
            self._reset_now(late, self.identity.mode == "safe")

    def _reset_now(self, reason, stay_safe=False, end=None):
        """Reset without goodbye, by `end()` if given; not counted as a crash. Leaves safe mode,
        unless `stay_safe` or a person asked for it.
        """
        try:
            self.blackbox.end()
            if not stay_safe:
                self.blackbox.healthy()
            self.log.warning("resetting: %s", reason)
        finally:  # whatever there is no memory for
            (end or machine.reset)()

    # Commands and endings.

    def busy(self):
        """Return whether a piece of work is under way that a lost connection would cut."""
        files = self.files and self.files.busy()
        return self.receiver or self.deploying or self.router.jobs or files

    def _unload(self):
        # What comes for what is under way would load a second copy of it all.
        if not self.receiver and not self.files and not self.router.jobs:
            unload()

    def _files(self):
        if not self.files:
            gc.collect()  # see `_load_and_answer`
            from mqboard.files.service import Files

            add = self.supervisor.add
            self.files = Files(self.router, lambda *task: add(*task, vital=False), Logger("files"))
        return self.files

    def _make_way(self):
        """Unload what was loaded for an earlier command: an update needs whole blocks of heap."""
        if self.files and not self.files.busy():
            self.files = None
        self._unload()
        gc.collect()

    async def _load_and_answer(self, request):
        name = "mqboard.commands." + request.command
        if request.command == "update":
            self._make_way()
        elif name not in sys.modules:
            # What is loaded, and stays for a while, lies low then. Amid the garbage of a module it
            # would leave the memory in pieces.
            gc.collect()
        module = __import__(name, None, None, ("answer",))
        await module.answer(self, request)

    def _help(self, *about):
        """Print what help() prints; of the board, what a module may use of it."""
        from mqboard.modules.help import tell

        tell(self, *about)

    async def _info(self, request):
        uptime_s, refused = self.supervisor.seconds, self.client.refused
        info = self.identity.info(self.link, uptime_s, refused, self.clock)
        await request.reply(info)

    async def _reset(self, request):
        """Reset on purpose. Into a mode that is asked for: see mqboard.commands.reset."""
        if request.body:
            return await self._load_and_answer(request)
        await request.reply(b"OK")
        await self.restart("reset command")

    async def restart(self, reason, end=None):
        """Say goodbye and reset, by `end()` if given; not counted as a crash."""
        if self.power:
            self.power.ending = True
        try:
            self.log.info("restarting: %s", reason)
            from mqboard.leaving import leave  # the last thing that a board does

            await leave(self, reason)
        finally:
            self._reset_now(reason, end=end)

    async def say_goodbye(self, reason):
        """Publish that we are offline, if that can be; a reset must not wait for it. Return whether
        the broker has it."""
        try:
            if self.client.connected:
                topic = mqwire.status_topic(self.config.prefix)
                last_word = self.identity.offline(reason, self.clock)
                goodbye = self.client.publish(topic, last_word, qos=1, retain=True)
                return await asyncio.wait_for(goodbye, _GOODBYE_S)
        except (OSError, MemoryError, asyncio.TimeoutError) as error:
            sys.print_exception(error)


def _last_timer():
    """Return the chip's last timer: users begin with the first."""
    try:
        return machine.Timer(3)
    except ValueError:  # those with a RISC-V core have two
        return machine.Timer(1)
