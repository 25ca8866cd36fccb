"""Tests the modem: the chat with it, its SIM card, and PPP, against one that answers by a table."""

import asyncio
import unittest

from fakes import FakeLog, run, until

from mqboard.net import modem
from mqboard.net.link import Link

KNOWN = {"uart": 1, "tx": 17, "rx": 16, "baud": 115200, "apn": "internet", "pin": None}
KNOWN.update(user=None, password=None, dial="*99#", power=None)
GOOD = {
    "AT": "OK",
    "ATE0": "OK",
    "ATH": "OK",
    "AT+CPIN?": "+CPIN: READY\r\n\r\nOK",
    "AT+CEREG?": "+CEREG: 0,1\r\n\r\nOK",
    "AT+CREG?": "ERROR",
    "AT+CSQ": "+CSQ: 21,99\r\n\r\nOK",
    'AT+CGDCONT=1,"IP","internet"': "OK",
    "ATD*99#": "CONNECT 115200",
}


class FakeUart:
    """A modem that gives the answers of a table; what is not in it, it does not hear."""

    def __init__(self, answers=GOOD, online=False):
        self.answers = dict(answers)
        self.asked = []
        self.online = online
        self.out = b""

    def write(self, data):
        if data == b"+++":
            self.online = False
            return
        command = data.decode().strip()
        self.asked.append(command)
        if not self.online and command in self.answers:
            answer = self.answers[command]
            self.out += data + b"\r\n" + answer.encode() + b"\r\n"  # with its echo

    def read(self):
        data, self.out = self.out[:7], self.out[7:]  # in pieces, as they come
        return data or None


class FakePPP:
    SEC_PAP = 1

    def __init__(self):
        self.up = True
        self.state = 3
        self.given = None

    def connect(self, **given):
        self.given = given

    def disconnect(self):
        self.up = False

    def isconnected(self):
        return self.up and self.given is not None

    def status(self):
        return self.state

    def ifconfig(self):
        return ("10.1.2.3", "10.64.64.64", "255.255.255.255", "10.0.0.53")


class FakeNVS:
    """NVS as the ESP32 port's, as far as it is used."""

    def __init__(self):
        self.kept = {}

    def get_i32(self, key):
        if key not in self.kept:
            raise OSError(-0x1102)
        return self.kept[key]

    def set_i32(self, key, value):
        self.kept[key] = value

    def commit(self):
        pass


class ModemTest(unittest.TestCase):
    def setUp(self):
        self.log = FakeLog()
        self.ppp = FakePPP()
        self.store = FakeNVS()
        self.names = ("ticks_ms", "make_uart", "make_ppp", "open_store", "_POLL_S", "_GUARD_S")
        self.real = [getattr(modem, name) for name in self.names]
        self.now = 0
        modem.ticks_ms = self.ticks_ms
        modem.make_ppp = lambda uart: self.ppp
        modem.open_store = lambda: self.store
        modem._POLL_S = modem._GUARD_S = 0

    def tearDown(self):
        for name, value in zip(self.names, self.real):  # noqa: B905 (MicroPython has no strict)
            setattr(modem, name, value)

    def ticks_ms(self):
        self.now += 50
        return self.now

    def dial(self, uart, **known):
        """Dial once; return what went wrong, or ""."""
        one = modem.Modem(uart)
        try:
            run(modem.dial(one, dict(KNOWN, **known)))
        except modem.ModemError as error:
            return str(error)
        self.assertEqual((one.isconnected(), one.ifconfig()[0]), (True, "10.1.2.3"))
        return ""

    def test_a_modem_that_is_ready_is_online(self):
        uart = FakeUart()
        self.assertEqual(self.dial(uart), "")
        self.assertEqual(uart.asked[-1], "ATD*99#")
        self.assertEqual(self.ppp.given, {})

    def test_user_and_password_go_to_ppp(self):
        self.assertEqual(self.dial(FakeUart(), user="me", password="secret"), "")
        self.assertEqual(self.ppp.given, {"security": 1, "user": "me", "key": "secret"})

    def test_a_modem_in_a_connection_that_a_reset_cut_is_called_back(self):
        uart = FakeUart(online=True)
        self.assertEqual(self.dial(uart), "")
        self.assertTrue("ATH" in uart.asked)

    def test_each_thing_that_can_be_wrong_is_told(self):
        for answers, sentence in (
            ({"AT": None}, "it says nothing; are tx, rx and baud right"),
            ({"AT+CPIN?": "+CME ERROR: 10"}, "no SIM card that it can read (+CME ERROR: 10)"),
            ({"AT+CPIN?": "+CPIN: SIM PUK\r\n\r\nOK"}, "the SIM card is locked: +CPIN: SIM PUK"),
            ({"AT+CPIN?": "+CPIN: SIM PIN\r\n\r\nOK"}, "wants its PIN, and modem.pin is not set"),
            ({"AT+CEREG?": "+CEREG: 0,2\r\n\r\nOK"}, "no mobile network"),
            ({"AT+CEREG?": "+CEREG: 0,3\r\n\r\nOK"}, "the network refuses the SIM card"),
            ({"AT+CEREG?": "+CEREG\r\n\r\nOK"}, "no mobile network"),
            ({"ATD*99#": "NO CARRIER"}, "no connection (NO CARRIER); is the apn right?"),
            ({"ATE0": None}, "no answer to ATE0"),
            ({"ATE0": "ERROR"}, "ERROR"),
            ({'AT+CGDCONT=1,"IP","internet"': None}, "no answer to AT+CGDCONT"),
        ):
            table = dict(GOOD, **answers)
            uart = FakeUart({key: table[key] for key in table if table[key] is not None})
            self.assertTrue(sentence in self.dial(uart), (sentence, self.dial(uart)))

    def test_ppp_that_does_not_come_up_is_told(self):
        self.ppp.up = False
        self.assertEqual(self.dial(FakeUart()), "PPP: no address in 30 s")
        self.ppp.state = -8
        self.assertTrue("PPP ended (-8)" in self.dial(FakeUart()))

    def test_a_modem_that_talks_without_end_is_given_up(self):
        class Endless(FakeUart):
            def read(self):
                return b"x" * 200

        self.assertTrue("it says nothing" in self.dial(Endless()))

    def test_signs_that_do_not_show_do_not_get_into_the_log(self):
        table = dict(GOOD, **{"AT+CPIN?": "+CME ERROR: \x1b[2J"})
        self.assertTrue("(+CME ERROR: ?[2J)" in self.dial(FakeUart(table)))

    def test_a_pin_is_entered_where_the_card_wants_it(self):
        table = dict(GOOD, **{"AT+CPIN?": "+CPIN: SIM PIN\r\n\r\nOK", 'AT+CPIN="1234"': "OK"})
        for _ in range(5):  # each boot
            self.assertEqual(self.dial(FakeUart(table), pin="1234"), "")

    def test_a_wrong_pin_does_not_lock_the_card(self):
        wants = {"AT+CPIN?": "+CPIN: SIM PIN\r\n\r\nOK", 'AT+CPIN="1234"': "+CME ERROR: 16"}
        wants['AT+CPIN="9999"'] = "OK"
        uart = FakeUart(dict(GOOD, **wants))
        for _ in range(5):
            why = self.dial(uart, pin="1234")
        self.assertEqual(uart.asked.count('AT+CPIN="1234"'), 2)
        self.assertTrue("not entered again" in why)
        self.assertEqual(self.dial(uart, pin="9999"), "")  # another one is another matter

    def test_the_signal_is_told_in_dbm(self):
        for answer, dbm in (
            ("+CSQ: 21,99\r\n\r\nOK", -71),
            ("+CSQ: 0,0\r\n\r\nOK", -113),
            ("+CSQ: 99,99\r\n\r\nOK", None),
            ("+CSQ: x\r\n\r\nOK", None),
            ("ERROR", None),
        ):
            uart = FakeUart(dict(GOOD, **{"AT+CSQ": answer}))
            self.assertEqual(run(modem._signal(modem._Chat(uart))), dbm)

    def test_a_link_dials_again_when_the_connection_is_gone(self):
        uart = FakeUart()
        modem.make_uart = lambda known: uart
        one = Link(None, "modem", KNOWN, self.log)

        async def scene():
            task = asyncio.create_task(one.run())
            await until(one.connected)
            self.assertEqual((one.address(), one.dns(), one.rssi()), ("10.1.2.3", "10.0.0.53", -71))
            first, self.ppp = self.ppp, FakePPP()
            first.up = False
            await until(lambda: self.ppp.given is not None and one.connected())
            one.restart()
            self.assertFalse(one.connected())
            task.cancel()

        run(scene())
        self.assertTrue("modem online as 10.1.2.3, -71 dBm" in self.log.lines)

    def test_an_attempt_in_vain_is_told_and_ends_no_task(self):
        def fail(known):
            raise ValueError("invalid pin")

        modem.make_uart = fail
        one = Link(None, "modem", KNOWN, self.log)

        async def scene():
            task = asyncio.create_task(one.run())
            await until(lambda: self.log.lines)
            self.assertEqual(self.log.lines, ["modem: invalid pin"])
            self.assertFalse(one.connected())
            task.cancel()

        run(scene())


if __name__ == "__main__":
    unittest.main()
