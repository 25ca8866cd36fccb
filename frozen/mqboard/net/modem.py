"""Dials into a mobile network by a modem at a UART, and runs PPP over it (network.PPP).

    {"uart": 1, "tx": 17, "rx": 16, "baud": 115200, "apn": "internet", "pin": "1234",
     "user": null, "password": null, "dial": "*99#", "power": null}

Commands are those of 3GPP TS 27.007 (AT+CPIN, AT+CREG, AT+CSQ, AT+CGDCONT) and ITU-T V.250. What
fails is tried again and logged. Loaded by mqboard.net.link while there is no connection.
"""

import asyncio
import binascii

from micropython import const

from mqboard.clock import jitter, ticks_diff, ticks_ms, worth_a_line

_ANSWER_S = const(5)
_REGISTER_S = const(60)
_DIAL_S = const(60)
_PPP_S = const(30)
_PAUSE_S = const(5)  # after the first attempt in vain; doubles
_PAUSE_MAX_S = const(120)
_POLL_S = 0.05
_GUARD_S = 1.1  # silence around +++ (V.250: a second)
_MOST = const(512)  # bytes of an answer
_PIN_TRIES = const(2)  # in a row, of one PIN: after the third the card wants its PUK
_FINAL = (b"OK", b"CONNECT", b"ERROR", b"+CME ERROR", b"NO CARRIER", b"NO DIALTONE", b"BUSY")


class ModemError(Exception):
    """Raised when an attempt to connect fails; the text says at what."""


async def join(link):
    """Try until `link`, a mqboard.net.link.Link, is online."""
    attempts = 0
    told = []
    while not link.connected():
        attempts += 1
        try:
            if link.interface is None:
                link.interface = Modem(make_uart(link.known))
            await dial(link.interface, link.known)
            break
        except Exception as error:  # wrong pins, too, or firmware without PPP
            why = str(error) or repr(error)
        link.switch_off()
        if worth_a_line(told, why, attempts):
            link.log.warning("modem: %s%s", why, " (%d times)" % attempts if attempts > 1 else "")
        pause = min(_PAUSE_S << min(attempts - 1, 8), _PAUSE_MAX_S) * 500
        await asyncio.sleep((pause + jitter(pause)) / 1000)
    link.log.info("modem online as %s, %s dBm", link.address(), link.rssi())


class Modem:
    """A modem at `uart`, as an interface: what mqboard.net.link.Link wants of one."""

    ppp = None
    signal = None  # dBm, when it dialled

    def __init__(self, uart):
        self.uart = uart

    def active(self, on=None):
        """Return whether it has dialled; False: hang up."""
        if on is False:
            self.disconnect()
        return self.ppp is not None

    def isconnected(self):
        """Return whether there is an address."""
        return self.ppp is not None and self.ppp.isconnected()

    def ifconfig(self):
        """Return (address, gateway, netmask, DNS server)."""
        return self.ppp.ifconfig()

    def status(self, what):
        """Return the "rssi" in dBm, None when it is not known."""
        return self.signal

    def disconnect(self):
        """End the connection."""
        if self.ppp:
            self.ppp.disconnect()
            self.ppp = None


def make_uart(known):
    """Return the UART at which the modem is."""
    import machine

    if known["power"] is not None:
        machine.Pin(known["power"], machine.Pin.OUT, value=1)
    tx, rx = known["tx"], known["rx"]
    return machine.UART(known["uart"], baudrate=known["baud"], tx=tx, rx=rx, rxbuf=2048)


def make_ppp(uart):
    """Return the PPP over `uart`, not connected."""
    import network

    return network.PPP(uart)


async def dial(modem, known):
    """Bring `modem` online; raise ModemError."""
    chat = _Chat(modem.uart)
    await _wake(chat)
    await chat.ask("ATE0")
    await _unlock(chat, known["pin"])
    await _register(chat)
    modem.signal = await _signal(chat)
    await chat.ask('AT+CGDCONT=1,"IP","%s"' % known["apn"])
    try:
        await chat.ask("ATD" + known["dial"], _DIAL_S)
    except ModemError as error:
        raise ModemError("no connection (%s); is the apn right?" % error)
    modem.ppp = ppp = make_ppp(modem.uart)
    if known["user"]:
        user, password = known["user"], known["password"] or ""
        ppp.connect(security=ppp.SEC_PAP, user=user, key=password)
    else:
        ppp.connect()
    await _wait_up(ppp)


async def _wait_up(ppp):
    started = ticks_ms()
    while not ppp.isconnected():
        if ticks_diff(ticks_ms(), started) > _PPP_S * 1000:
            raise ModemError("PPP: no address in %d s" % _PPP_S)
        if ppp.status() < 0:
            raise ModemError("PPP ended (%d); are user and password right?" % ppp.status())
        await asyncio.sleep(_POLL_S)


async def _wake(chat):
    """Have the modem listen to commands: it may be in a connection that a reset has cut."""
    for _ in range(2):
        if await chat.answers():
            return
    await asyncio.sleep(_GUARD_S)
    chat.uart.write(b"+++")
    await asyncio.sleep(_GUARD_S)
    if not await chat.answers():
        raise ModemError("it says nothing; are tx, rx and baud right, and is it on?")
    await chat.ask("ATH")


async def _unlock(chat, pin):
    """See that the SIM card can be used; enter the PIN, but never once too often."""
    try:
        card = await chat.ask("AT+CPIN?")
    except ModemError as error:
        raise ModemError("no SIM card that it can read (%s)" % error)
    if b"READY" in card:
        return
    if b"SIM PIN" not in card:
        raise ModemError("the SIM card is locked: %s" % _text(card))
    if not pin:
        raise ModemError("the SIM card wants its PIN, and modem.pin is not set")
    tries = _Tries(pin)
    tries.count()
    try:
        await chat.ask('AT+CPIN="%s"' % pin)
    except ModemError as error:
        raise ModemError("the SIM card does not take modem.pin (%s)" % error)
    tries.forget()


class _Tries:
    """Counts in NVS how often a PIN was entered and not taken: that must outlive resets."""

    def __init__(self, pin):
        self._store = open_store()
        self._mark = binascii.crc32(pin.encode()) & 0x3FFFFFFF

    def count(self):
        """Count one more; raise ModemError instead when that could cost the card."""
        tries = self._get("tries") if self._get("pin") == self._mark else 0
        if tries >= _PIN_TRIES:
            raise ModemError("modem.pin is wrong: not entered again, the SIM card would be locked")
        self._set(tries + 1)

    def forget(self):
        """Begin from zero: it was taken."""
        self._set(0)

    def _get(self, key):
        try:
            return self._store.get_i32(key)
        except OSError:
            return 0

    def _set(self, tries):
        self._store.set_i32("pin", self._mark)
        self._store.set_i32("tries", tries)
        self._store.commit()


def open_store():
    """Return where in NVS the tries are counted."""
    from esp32 import NVS

    return NVS("mqb_modem")


async def _register(chat):
    """Wait until a mobile network has taken the SIM card."""
    started = ticks_ms()
    while True:
        states = []
        for command in ("AT+CEREG?", "AT+CREG?"):  # LTE, the others
            try:
                answer = await chat.ask(command)
                states.append(answer.split(b",")[1][:1])
            except (ModemError, IndexError):  # a modem that knows one of them only
                pass
        if b"1" in states or b"5" in states:  # at home, roaming
            return
        if ticks_diff(ticks_ms(), started) > _REGISTER_S * 1000:
            refused = b"3" in states
            raise ModemError("the network refuses the SIM card" if refused else "no mobile network")
        await asyncio.sleep(_POLL_S * 10)


async def _signal(chat):
    """Return the signal in dBm, or None: 0 to 31 stand for -113 to -51 dBm (27.007, 8.5)."""
    try:
        answer = await chat.ask("AT+CSQ")
        number = int(answer.split(b":")[1].split(b",")[0])
    except (ModemError, ValueError, IndexError):
        return None
    return 2 * number - 113 if 0 <= number <= 31 else None


class _Chat:
    """Asks the modem at `uart`, and reads its answers."""

    def __init__(self, uart):
        self.uart = uart

    async def answers(self):
        """Return whether the modem listens."""
        try:
            await self.ask("AT", 1)
            return True
        except ModemError:
            return False

    async def ask(self, command, timeout_s=_ANSWER_S):
        """Return the line of the answer before its last one, b"" if there is none; raise ModemError
        when it is an error, or does not come."""
        self.uart.read()  # what nobody waits for any more
        self.uart.write(command.encode() + b"\r")
        started = ticks_ms()
        got = told = b""
        while ticks_diff(ticks_ms(), started) < timeout_s * 1000:
            got += self.uart.read() or b""
            *lines, got = got.split(b"\n")
            got = got[-_MOST:]
            for line in lines:
                line = line.strip()
                if any([line.startswith(word) for word in _FINAL]):
                    if line[:2] in (b"OK", b"CO"):
                        return told
                    raise ModemError(_text(line))
                if line and not line.startswith(b"AT"):  # our own echo
                    told = line[:_MOST]
            await asyncio.sleep(_POLL_S)
        raise ModemError("no answer to %s" % command.split("=")[0])


def _text(line):
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in line[:80]])
