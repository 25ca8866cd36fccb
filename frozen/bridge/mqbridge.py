"""Brings MQTT and the time to a target that is linked to this board by a UART: a module of ours.

It runs when the configuration has `bridge`. A connection to the broker is opened for the target,
with our login and its own client id and will; from then on bytes pass both ways as they are, as
fast as either side takes them. So what is acknowledged is acknowledged by the target itself, and
nothing has to be kept here. The other end is mqlink.py; what travels is in docs/bridge.md.
"""

import asyncio
import struct
from errno import ECONNRESET

import mqlink
from machine import UART, Pin
from micropython import const
from mqlink import BYTES, CLOSE, CONTROL, CREDIT, HUNG_UP, OPEN, OPENED, STATE, TIME, WELCOME

from mqboard.clock import within, worth_a_line
from mqboard.log import Logger
from mqboard.modules.together import together
from mqboard.mqtt import packet
from mqboard.mqtt.connection import wait_ms

_ANSWER_S = const(15)
_FIRST_WAIT_MS = const(500)
_QUESTIONS = const(4)  # for the time, at once
_PIECE = const(512)
_PULSE_S = 0.1
_RX = const(4096)
_NTP_PORT = const(123)
_HUNG_UP = (32, ECONNRESET, 128)  # EPIPE; and lwIP's ENOTCONN, for a write after the other's close


async def start(board, settings):
    """Run the bridge, for ever; `settings` are `bridge` of the configuration."""
    if not settings:
        raise ValueError("the configuration has no bridge")
    tx, rx = settings["tx"], settings["rx"]
    uart = UART(settings["uart"], settings["baud"], tx=Pin(tx), rx=Pin(rx), rxbuf=_RX)
    board.bridge = bridge = Bridge(board, settings)
    try:
        await together(bridge.run(uart), bridge.watch())
    finally:
        board.bridge = None
        bridge.hang_up()
        uart.deinit()


class Bridge(mqlink.Line):
    """Our end of the line to the target. `reset()` resets the target, where a pin does that."""

    def __init__(self, board, settings):
        silence_ms = int(settings["silence_s"] * 1000)
        super().__init__(
            "%s %s" % (board.identity.board, board.identity.version), 6, 240, silence_ms
        )
        self._board = board
        self._log = Logger("bridge")
        self.prefix = board.config.prefix + "/" + settings["name"]
        self._client_id = "mqb-%s-%s" % (board.identity.id, settings["name"])
        self._user, self._password = settings["user"], settings["password"]
        pin = settings["reset"]
        self._pin = None if pin is None else Pin(pin, Pin.OPEN_DRAIN, value=1)
        self._reset_s = settings["reset_s"]
        self._broker = self._opener = None
        self._wish = None  # what the target has asked for: the rest of its OPEN
        self._stream = None
        self._task = None
        self._questions = 0

    async def reset(self):
        """Pull the target's reset pin for a moment; OSError if there is none."""
        if not self._pin:
            raise OSError("bridge.reset is not configured: no pin resets the target")
        self._log.info("resetting the target")
        self._pin.value(0)
        await asyncio.sleep(_PULSE_S)
        self._pin.value(1)

    async def watch(self):
        """Reset the target when it has been silent for `reset_s`; tell it how the board is."""
        silent = 0
        told = ""
        while True:
            await asyncio.sleep(1)
            silent = 0 if self.up else silent + 1
            if self._reset_s and silent >= self._reset_s:
                silent = 0
                await self.reset()
            if self.incompatible != told:
                told = self.incompatible
                if told:
                    self._log.error("%s: one of the two needs newer software", told)

    # The line.

    def on_up(self):
        """Greet the target."""
        self._log.info("the target is there: %s", self.peer)
        self.send(CONTROL, bytes((WELCOME,)) + self.prefix.encode())

    def on_down(self):
        """Leave the broker without a goodbye: it publishes the target's will."""
        self._log.warning("the target is gone")
        self.hang_up()

    def on_message(self, channel, data):
        """Take what the target says."""
        if channel == BYTES:
            if self._stream:
                self._stream.take(data)
        elif not data:
            return
        elif data[0] == OPEN:
            self.hang_up()
            self._task = asyncio.create_task(self._connect(data))
        elif data[0] == CLOSE:
            if self._stream:
                self._stream.close("the target left")  # when what it said before is on its way
            else:
                self.hang_up()
        elif data[0] == CREDIT and self._stream and len(data) == 5:
            self._stream.allow(struct.unpack(">I", data[1:])[0])
        elif data[0] == TIME and len(data) > 1:
            self._questions += 1
            asyncio.create_task(self._tell_time(data[1], data[2:]))

    def hang_up(self):
        """End the target's connection to the broker, at once."""
        task, self._task = self._task, None
        self._stream = None
        if task:
            task.cancel()

    # The connection to the broker.

    async def _connect(self, wish):
        """Have one connection, from the wish for it to its end, which the target is told."""
        net = None
        try:
            net, present = await self._opened(wish)
            self.send(CONTROL, bytes((OPENED, present)))
            self._stream = mqlink.Stream(self)
            await together(self._carry_out(net), self._carry_in(net))
        except Exception as error:  # a full heap, too: the target would wait for ever
            if self._stream and _hung_up(error):
                self.send(CONTROL, bytes((HUNG_UP,)))
            self._stream = None
            self.send(CONTROL, bytes((CLOSE,)) + _words(error).encode())
            if not isinstance(error, (OSError, EOFError)):
                self._log.error("the target's connection ended: %r", error)
        finally:
            if net:
                net.close()

    async def _opened(self, wish):
        """Return a stream on which the broker has accepted us, and whether it kept the session."""
        failures = 0
        told = []
        introduction = self._introduction_of(wish)
        while True:
            reach = self._board.reach
            state = reach.state
            while state != "connected":
                self.send(CONTROL, bytes((STATE,)) + state.encode())
                state = await reach.changed(state)
            net = None
            try:
                broker = self._choose()
                net = await self._opener()
                return net, await within(_ANSWER_S, self._introduce(net, introduction, broker))
            except asyncio.TimeoutError:
                why = "no broker: no answer in time"
                self._close(net)
            except Exception as error:  # a full heap, too, may be better at the next attempt
                why = "no broker: " + _words(error)
                self._close(net)
            except BaseException:
                self._close(net)
                raise
            self.send(CONTROL, bytes((STATE,)) + why.encode())
            wait = wait_ms(failures, _FIRST_WAIT_MS)
            failures += 1
            if worth_a_line(told, why, failures):
                self._log.warning("for the target: %s; attempt %d in %d ms", why, failures, wait)
            await asyncio.sleep(wait / 1000)

    @staticmethod
    def _close(net):
        if net:
            net.close()

    def _choose(self):
        """Return the broker that the board uses, as its configuration says."""
        board = self._board
        broker = board.config
        if board.brokers:
            broker = board.brokers.pairs[1 if board.brokers.fallen_back else 0][0]
        if broker is not self._broker:
            from mqboard.credentials import opener

            # First: two contexts have no room beside each other. Both: there may be none for one.
            self._opener = self._broker = None
            self._opener = opener(broker, board.config, board.link, board.clock)
            self._broker = broker
        return broker

    def _introduction_of(self, wish):
        """Make the CONNECT that the target asks for; ValueError if that is none."""
        _, flags, keepalive = struct.unpack(">BBH", wish[:4])
        will = None
        if flags & 4:
            size = 6 + struct.unpack_from(">H", wish, 4)[0]
            payload = wish[size + 2 :]
            will = (wish[6:size], payload, flags >> 3 & 3, flags & 0x20 != 0)
        return packet.introduction(self._client_id.encode(), keepalive, flags & 2 != 0, will)

    async def _introduce(self, net, introduction, broker):
        """Connect; return whether the broker kept the session. PacketError: it does not want us."""
        own = self._user is not None
        user = self._user if own else broker.user
        password = self._password if own else broker.password
        user = None if user is None else user.encode()
        await _write(net, packet.connect(introduction, user, password and password.encode()))
        answer = bytearray(4)
        await _fill(net, memoryview(answer))
        if answer[0] != packet.CONNACK or answer[1] != 2:
            raise packet.PacketError("the answer is not a CONNACK")
        if answer[3]:
            known = answer[3] < len(packet.REFUSALS)
            why = packet.REFUSALS[answer[3]] if known else "refused with code %d" % answer[3]
            raise packet.PacketError(why)
        return answer[2] & 1

    async def _carry_out(self, net):
        stream = self._stream
        while True:
            await _write(net, await stream.read())

    async def _carry_in(self, net):
        stream = self._stream
        piece = memoryview(bytearray(_PIECE))
        while True:
            await stream.write(bytes(piece[: await _some(net, piece)]))

    # The time.

    async def _tell_time(self, number, server):
        try:
            answer = b"\0" + struct.pack(">I", await self._ask(str(server, "utf-8")))
        except Exception as error:  # a full heap, too: the target waits for an answer
            answer = _words(error).encode()
            if not isinstance(error, (OSError, ValueError)):
                self._log.error("no time for the target: %r", error)
        finally:
            self._questions -= 1
        self.send(CONTROL, bytes((TIME, number)) + answer)

    async def _ask(self, server):
        """Return the time that an NTP server, or HOST:PORT, tells; "": that of the board."""
        board = self._board
        if self._questions > _QUESTIONS:
            raise OSError("too many questions for the time")
        if not server and board.clock.trusted:
            return board.clock.now()
        from mqboard.net import sntp

        host, _, port = (server or board.config.ntp).partition(":")
        if not host:
            raise OSError("no NTP server is configured")
        if not board.link.connected():
            raise OSError("no network")
        return await sntp.ask(host, int(port or _NTP_PORT), board.link.dns())


def _words(error):
    return str(error) or repr(error)


def _hung_up(error):
    return isinstance(error, EOFError) or isinstance(error, OSError) and error.errno in _HUNG_UP


async def _write(net, data):
    view = memoryview(data)
    while view:
        count = net.write(view)
        if count is None:
            await net.wait_writable()
        else:
            view = view[count:]


async def _some(net, view):
    """Wait for some bytes and return their count; EOFError when there will be none."""
    while True:
        count = net.readinto(view)
        if count:
            return count
        if count == 0:
            raise EOFError("broker closed the connection")
        await net.wait_readable()


async def _fill(net, view):
    while view:
        view = view[await _some(net, view) :]
