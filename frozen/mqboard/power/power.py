"""Decides when a board sleeps, and puts it to sleep.

    async def start(board, settings):
        await board.client.publish(board.config.prefix + "/level", reading(), qos=1)
        board.power.done()

A wake is *quiet*: nobody can command the board, which says what its modules have to say, and that
it sleeps. It reads the note that somebody may have left (mqwire.waiting); for that it is attended:
it announces itself, takes commands, and stays up while there is something to do. So does a boot
that is no wake. A board on trial does not sleep: its bootloader would take that for a failure.
"""

import asyncio
import json

from esp32 import NVS
from micropython import const

import mqwire
from mqboard.clock import ticks_diff, ticks_ms
from mqboard.log import Logger
from mqboard.power import lasting, record
from mqboard.power.limits import Limits
from mqwire import waiting
from mqwire.config import LOG_LEVELS, MAX_KEPT

_LOOK_S = 0.01
_LOOK_ATTENDED_S = 0.1
_LINGER_MS = const(10_000)  # after a command, for the next
_OFFER_MS = const(60_000)  # for a note, from the last sign of whoever left it
_VAIN_MS = const(10_000)  # for one that was waited for before
_GOODBYE_S = const(12)
_LEAST_MS = const(1_000)  # of sleep
_TALK_S = const(86400)  # so often a board with an empty battery, or a wrong idea of it, says so
_CATCH_S = const(10)  # after power-on, for whoever is at the console of one with an empty battery
_FULLER_V = 0.1  # above the floor, until a battery is not empty any more
_BOX = const(92)  # bytes of the black box without its lines (health.lastwords)


class Power:
    """The sleep of `board`. `woke` is what was kept over the sleep that this boot ends, None if it
    ends none; `chip` is mqboard.power.chip; `feed()` feeds the watchdog.

    `volts` is the battery's voltage as this boot began, None where it is not measured.
    """

    def __init__(self, board, woke, chip, feed):
        self._board = board
        self._chip = chip
        self._settings = settings = board.config.power
        self._log = Logger("power")
        self._began = self._heard = ticks_ms()
        self._finished = []  # names of tasks; "" for one of somebody's own
        self._holding = 0
        self._note = 0  # until when somebody waits for us, Unix time
        self._linger_ms = min(_LINGER_MS, int(settings["awake_s"] * 1000))
        self._patience = 0
        self._vain = (woke or {}).get("vain")  # the note that nothing came of
        self._attending = False
        self.volts = None
        self.empty = False
        self.woke = woke
        self._apart = (0, False)
        self.ending = False  # a restart is due: the board does not sleep any more
        self._take_up(woke or {})
        self._limits = self._find_limits()
        if settings["battery"]:
            self._measure(settings["battery"], feed)
        # Nobody can command us until somebody wants to.
        me = board.identity
        self.quiet = board.settled and me.mode == "normal"
        me.power = {"period_s": settings["period_s"]}
        if self.volts is not None:
            me.power["volts"] = round(self.volts, 2)
            me.power["empty"] = self.empty

    def _take_up(self, woke):
        """Go on where the sleep began."""
        board = self._board
        if woke.get("boot") != board.identity.image[:16]:
            return  # of other firmware, or of none
        board.settled = bool(woke.get("settled")) and self._is_as_settled(woke)
        board.client.stale = not woke.get("session")
        self._apart = woke.get("apart") or (0, False)
        lasting.take_up(board, woke)

    def _is_as_settled(self, woke):
        """Return whether this boot is as the one that settled: nothing is on trial, and the
        configuration is still the one that NVS has a copy of."""
        board, settings = self._board, self._board.config
        if board.identity.trying() or self._is_pending() or settings.missing:
            return False
        from mqboard.health.bootrecord import NAMESPACE, Store  # not to stay

        if Store(NVS(NAMESPACE)).get("config", MAX_KEPT) != settings.text:
            return not woke.get("kept")  # there was no room for a copy before either
        settings.kept, settings.text = True, None  # as mqboard.health.confirm leaves it
        return True

    def _find_limits(self):
        board, now = self._board, self._board.clock.now()
        ways = len(getattr(board.link, "links", ()))
        if board.brokers:
            ways = max(ways, 1)
        return Limits(self._settings, self.woke, now, ways, board.config.wait_s)

    def _measure(self, battery, feed):
        """Read the battery. One that is empty is spared: then the board sleeps at once, without a
        word, but for one boot a day: whatever is wrong with this reading, it can be reached."""
        floor, woke = battery["floor_v"], self.woke or {}
        try:
            self.volts = self._chip.volts(battery)
        except (OSError, ValueError) as error:
            self._log.error("the battery cannot be measured at pin %d: %s", battery["pin"], error)
            return
        self.empty = self.volts < floor + (_FULLER_V if woke.get("empty") else 0)
        if not self.empty or self._board.identity.trying() or self._is_pending():
            return
        told = woke.get("empty")
        if not self.woke and self._board.identity.reset_cause == "power-on":
            self._log.warning("battery empty: asleep in %d s, unless Ctrl-C comes", _CATCH_S)
            self._chip.wait(_CATCH_S, feed)
            # The radio may have taken its last power: it would again, for ever.
            told = self._board.clock.now()
        now = self._board.clock.now()
        if isinstance(told, int) and 0 <= now - told < _TALK_S:
            self._log.warning("battery at %.2f V, floor_v %.2f: back to sleep", self.volts, floor)
            self._sleep(int(self._settings["period_s"] * 1000), bool(woke.get("session")), told)

    # For the setup network (mqboard.portal.begin).

    @property
    def apart_ms(self):
        """How long the board was out of reach before this wake, its sleeps included; 0 until half
        of this wake has been in vain, too: the network may be back."""
        up_ms = ticks_diff(ticks_ms(), self._began)
        if self._board.client.connects or up_ms < self._settings["awake_s"] * 500:
            return 0
        return self._apart[0] * 1000

    @property
    def opened(self):
        """Whether the setup network was open since then, if not in this boot."""
        return bool(self._apart[1]) and not self._board.client.connects

    def note_opened(self):
        """Note that it was: it is open once."""
        self._apart = (self._apart[0], True)

    def _apart_then(self, ms):
        """Return the same as of the end of the sleep that begins now, and takes `ms`."""
        if self._board.client.connects:
            return 0, False
        passed = ticks_diff(ticks_ms(), self._began) + ms
        return self._apart[0] + passed // 1000, self._apart[1]

    # For modules.

    def done(self):
        """Say that the module that calls this needs the board no longer: it sleeps when all have
        said so, or ended, and their messages at QoS 1 and 2 are acknowledged."""
        task = asyncio.current_task()
        name = ""
        for module in self._modules():
            entry = self._board.supervisor.find(module.task)
            if entry and entry.task is task:
                name = module.task
        if not name or name not in self._finished:
            self._finished.append(name)

    def hold(self):
        """Keep the board up until `release` is called as many times."""
        self._holding += 1

    def release(self):
        """Undo one `hold`."""
        self._holding = max(0, self._holding - 1)

    # The task.

    async def run(self):
        """Wait until the board may sleep, and have it sleep; attend to who calls meanwhile."""
        await self._board.client.subscribe(
            waiting.topic(self._board.config.prefix), self._hear_note
        )
        while True:
            if self._attending != (not self.quiet):
                await self._attend()
            if self._may_sleep():
                await self._leave()
            await asyncio.sleep(_LOOK_S if self.quiet else _LOOK_ATTENDED_S)

    def on_command(self, topic, payload, retained):
        """Take a command for the router; whoever sends one may send another."""
        if "/cmd/ping/" not in topic:  # our own, too: see health.reach
            self._heard = ticks_ms()
        return self._board.router.on_message(topic, payload, retained)

    def _hear_note(self, topic, payload, retained):
        """Take the note that somebody waits for us; an empty one takes it away."""
        self._note = 0
        if not 0 < len(payload) <= waiting.MAX_NOTE:
            return
        try:
            note = json.loads(bytes(payload))
        except ValueError:
            return
        until = note.get("until") if isinstance(note, dict) else None
        clock, me = self._board.clock, self._board.identity
        if not isinstance(until, int) or note.get("image") == me.image:
            return
        if clock.trusted and until <= clock.now():
            return
        self._note = until
        self._patience = _VAIN_MS if until == self._vain else _OFFER_MS
        self._heard = ticks_ms()
        self.quiet = False

    def _is_pending(self):
        return self._board.identity.slot_state == "pending"

    def _modules(self):
        return self._board.modules.all if self._board.modules else ()

    def _may_sleep(self):
        board, limits = self._board, self._limits
        if self.ending or board.identity.trying() or self._is_pending():
            return False
        up_ms = ticks_diff(ticks_ms(), self._began)
        if limits.over(up_ms):
            return True
        if self._wanted():
            return False
        late = limits.late(up_ms, board.client.connects and board.settled)
        return late or (board.settled and self.woke is not None and self._said_all())

    def _wanted(self):
        """Return whether somebody has something to do with the board."""
        board = self._board
        if board.busy() or self._holding or board.router.active:
            return True
        if not board.settled and board.client.up.is_set():
            return True  # it soon will be
        if self.quiet:
            return False
        patience = self._patience if self._note else self._linger_ms
        return ticks_diff(ticks_ms(), self._heard) < patience

    def _said_all(self):
        """Return whether there is nothing left to do in this wake."""
        board = self._board
        if not board.client.up.is_set() or board.client.outbox.waiting:
            return False
        if board.config.ntp and board.clock.due_in <= 0 or board.clock.busy:
            return False
        if board.client.unhandled:  # they are acknowledged: nobody else has them
            return False
        finished = self._finished
        left = [m for m in self._modules() if m.task not in finished and m.state() == "running"]
        return len(left) <= finished.count("")

    async def _attend(self):
        """Take commands, or no more of them."""
        self._attending = not self.quiet
        board = self._board
        client = board.client
        if self._attending:
            client.listens = True
            await board.listen(self.on_command)
            return
        prefix, repl = board.config.prefix, board.config.repl
        topics = [mqwire.command_filter(prefix), mqwire.status_topic(prefix)]
        if repl and repl["json"]:
            topics.append(prefix + "/repl/in")
        connection = client.connects
        for topic in topics:  # what Board.listen has subscribed to
            await client.unsubscribe(topic)
        # Otherwise the broker may still have them.
        client.listens = not (client.connected and client.connects == connection)

    async def _leave(self):
        """Say goodbye and sleep; come back if somebody calls in the middle of it."""
        self.quiet = True  # before anything is awaited: a note may come from here on
        board = self._board
        try:
            up_ms = ticks_diff(ticks_ms(), self._began)
            ms = max(_LEAST_MS, int(self._settings["period_s"] * 1000) - up_ms)
            proper = False
            try:
                if board.client.up.is_set():
                    goodbye = self._say_goodbye(ms, self._limits.over(up_ms))
                    proper = await asyncio.wait_for(goodbye, _GOODBYE_S)
                    if proper is False:
                        self._log.warning("the broker did not hang up in time")
            except (OSError, MemoryError, asyncio.TimeoutError) as error:
                self._log.warning("no goodbye: %r", error)
            if proper is None or self.ending:
                return
            self._vain = self._note or None
            self._log.info("asleep for %d s, after %d ms", ms // 1000, up_ms)
            empty = board.clock.now() if self.empty else None
            self._sleep(ms, proper, empty)
        finally:
            board.client.stay()  # unless it sleeps, and nothing comes after that

    async def _say_goodbye(self, ms, at_any_rate):
        """Return whether the broker knows that we sleep, None if somebody calls."""
        board = self._board
        if self._attending:
            await self._attend()
        board.client.only = waiting.topic(board.config.prefix)
        await self._tell_troubles()
        topic = mqwire.status_topic(board.config.prefix)
        await board.client.publish(topic, self._status(ms // 1000), 1, True)
        if not at_any_rate and (not self.quiet or board.router.active):
            self.quiet = False
            return None
        return await board.client.leave()

    def _status(self, seconds):
        """Return what a board says before it sleeps so long: all of its birth, and until when."""
        board = self._board
        facts = board.identity.facts(board.link.rssi())
        facts["state"] = mqwire.ASLEEP
        facts["sleeps_s"] = seconds
        if board.clock.trusted:
            facts["at"] = board.clock.now()
            facts["until"] = facts["at"] + seconds
        return json.dumps(facts).encode()

    async def _tell_troubles(self):
        """Publish what is worse than news of the lines that a quiet wake has kept for itself."""
        board = self._board
        topic = mqwire.log_topic(board.config.prefix)
        least = LOG_LEVELS.index("warning")
        for line in [line[1:] for line in board.console.lines if line[0] >= least]:
            await board.client.publish(topic, line)

    def _sleep(self, ms, proper, empty):
        board = self._board
        kept = {
            "boot": board.identity.image[:16],
            "settled": board.settled,
            "session": not (board.client.stale or board.client.listens),
            "kept": board.config.kept,
            "vain": self._vain,
            "empty": empty,
            "limits": self._limits.kept(board.client.connects, board.clock.now()),
        }
        kept["apart"] = self._apart_then(ms)
        lasting.keep(board, kept, proper)
        board.blackbox.end()
        board.blackbox.healthy()
        try:
            # An empty battery only sleeps.
            self._chip.arm(() if self.empty else self._settings["wake_pins"])
            self._switch_off(ms, kept)
        except Exception as error:  # a chip without that circuit has no such function
            self._log.error("power.wake_pins cannot end a sleep: %s", error)
            self._chip.disarm()
            self._switch_off(ms, kept)

    def _switch_off(self, ms, kept):
        # The last thing: each line of the log is written there, too.
        self._chip.memory(record.joined(self._chip.memory()[:_BOX], kept))
        self._chip.sleep(ms)
