"""Tests what a configuration says of networks: which there are, in which order, and a modem."""

import json
import unittest

from mqboard import config

WIFI = {"networks": [{"ssid": "net", "password": "long secret"}]}
LAN = {"ethernet": {"phy_type": "LAN8720", "phy_addr": 1}}
MODEM = {"modem": {"tx": 17, "rx": 16, "apn": "internet"}}


def parsed(*parts, **more):
    fields = {"prefix": "esp32/test", "broker": {"host": "h", "tls": False}}
    for part in parts:
        fields.update(part)
    return config.parse(json.dumps(dict(fields, **more)))


class NetworkConfigTest(unittest.TestCase):
    def test_without_an_order_there_is_one_network_as_ever(self):
        for parts, way in (
            ((WIFI,), "wifi"),
            ((LAN,), "ethernet"),
            ((WIFI, LAN), "ethernet"),
            ((WIFI, MODEM), "wifi"),
            ((MODEM,), "modem"),
            (({"ethernet": {}},), "ethernet"),  # wrong, and yet what is wished for
        ):
            for more in ({}, {"network": None}, {"network": {"order": []}}):
                self.assertEqual(parsed(*parts, **more).order, [way])

    def test_without_any_network_there_is_no_configuration(self):
        for parts in ((), ({"networks": []},), ({"network": {"order": ["wifi"]}},)):
            with self.assertRaises(config.ConfigError):
                parsed(*parts)

    def test_an_order_is_kept(self):
        for order in (["ethernet", "wifi", "modem"], ["modem", "wifi"], ["wifi"]):
            one = parsed(WIFI, LAN, MODEM, network={"order": order, "wait_s": 20})
            self.assertEqual((one.order, one.wait_s, one.complaint), (order, 20, ""))

    def test_what_is_doubtful_in_an_order_is_told_and_left_out(self):
        for order, used, sentence in (
            (["modem", "wifi"], ["wifi"], "network.order names modem, and modem has nothing in it"),
            (["wifi", "wifi"], ["wifi"], "network.order names wifi more than once"),
            (["lan", "wifi"], ["wifi"], "network.order is a list; it may name ethernet, wifi"),
            (["lan"], ["wifi"], "network.order is a list; it may name ethernet, wifi, modem"),
            (["ethernet"], ["wifi"], "names ethernet, and ethernet has nothing in it"),
        ):
            one = parsed(WIFI, network={"order": order})
            self.assertEqual(one.order, used)
            self.assertTrue(sentence in one.complaint, one.complaint)

    def test_an_order_is_a_list_of_texts(self):
        for order in ("wifi", [1], [["wifi"]], {"wifi": 1}):
            with self.assertRaises(config.ConfigError):
                parsed(WIFI, network={"order": order})

    def test_a_trial_is_long_enough_for_all_of_them(self):
        network = {"order": ["ethernet", "wifi", "modem"], "wait_s": 120}
        one = parsed(WIFI, LAN, MODEM, network=network)
        self.assertTrue("network.wait_s is 120" in one.complaint)
        self.assertEqual(one.wait_s, 75)
        self.assertEqual(parsed(WIFI, network={"wait_s": 600}).complaint, "")

    def test_a_modem_is_at_uart_1_if_nothing_else_is_said(self):
        one = parsed(MODEM).modem
        self.assertEqual((one["uart"], one["baud"], one["dial"]), (1, 115200, "*99#"))
        self.assertEqual((one["pin"], one["user"], one["power"]), (None, None, None))

    def test_what_is_wrong_with_a_modem_is_told(self):
        for changes, sentence in (
            ({"apn": None}, "modem.apn is missing"),
            ({"apn": 'a","x'}, "modem.apn is 'a\",\"x'; it must be letters, digits and signs"),
            ({"apn": "a\r\nATD1"}, "without blanks and quotes"),
            ({"apn": ""}, "modem.apn is ''"),
            ({"dial": "1;\r"}, "modem.dial is "),
            ({"pin": "12"}, "modem.pin cannot be so: it must be 4 to 8 digits"),
            ({"pin": '1234"'}, "modem.pin cannot be so"),
            ({"uart": 0}, "modem.uart is 0; it must be from 1 to 4"),  # the console's
            ({"tx": None}, "modem.tx is missing"),
            ({"baud": "fast"}, "modem.baud is 'fast'; it must be a whole number"),
        ):
            try:
                parsed({"modem": dict(MODEM["modem"], **changes)})
            except config.ConfigError as error:
                self.assertTrue(sentence in str(error), str(error))
            else:
                self.assertTrue(False, changes)


if __name__ == "__main__":
    unittest.main()
