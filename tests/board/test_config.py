"""Tests the configuration: what is read, what is refused by which key, what stands in for it."""

import json
import unittest

from fakes import FakeNvs

from mqboard import config
from mqboard.health.bootrecord import Store
from mqwire import WireError
from mqwire.config import KEYS
from mqwire.rules import DOUBT, UNKNOWN, read, zone_seconds

GOOD = {
    "prefix": "esp32/test",
    "networks": [{"ssid": "net", "password": "long secret"}],
    "broker": {"host": "127.0.0.1", "tls": False},
}


PSK = {"identity": "pump", "key": "00112233445566778899AABBccddeeff"}


def _psk(**changes):
    return {"broker": {"host": "h", "psk": dict(PSK, **changes)}}


class ConfigTest(unittest.TestCase):
    def test_defaults(self):
        parsed = config.parse(json.dumps(GOOD))
        self.assertEqual((parsed.host, parsed.port, parsed.user), ("127.0.0.1", 1883, None))
        self.assertEqual(parsed.networks, [dict(GOOD["networks"][0], static=None)])
        self.assertEqual((parsed.country, parsed.hostname, parsed.fallback), (None, None, None))
        self.assertEqual((parsed.health_s, parsed.confirm_s), (10, 300))
        self.assertEqual(parsed.allow_downgrade, False)

    def test_a_part_of_a_configuration_is_none(self):
        whole = json.dumps(dict(GOOD, log={"level": "warning"}, modules={"pump": {"pin": [1, 2]}}))
        for size in range(len(whole)):
            with self.assertRaises(config.ConfigError):
                config.parse(whole[:size])
        for more in ("}", "]", " {}", ",", "x"):
            with self.assertRaises(config.ConfigError):
                config.parse(whole + more)
        self.assertEqual(config.parse(whole + " \n").level, "warning")

    def test_keys_that_are_no_texts_which_micropython_takes_for_json_are_left_out(self):
        root = dict(GOOD, modules={"pump": {}, 5: {}}, log={"levels": {"mqtt": "debug", None: 1}})
        root[7] = 1
        values = config.Config()
        wrong = read(root, values)
        named = sorted([(severity, key) for severity, key, _ in wrong])
        self.assertEqual(named, [(DOUBT, "log.levels.None"), (DOUBT, "modules.5"), (UNKNOWN, "7")])
        self.assertEqual((values.modules, values.levels), ({"pump": {}}, {"mqtt": "debug"}))

    def test_tls_is_the_default_and_needs_a_ca(self):
        fields = dict(GOOD)
        fields["broker"] = {"host": "h", "ca": "/certs/ca.pem"}
        parsed = config.parse(json.dumps(fields))
        self.assertEqual((parsed.tls, parsed.verify, parsed.port), (True, True, 8883))
        self.assertEqual((parsed.ca, parsed.cert, parsed.key), ("/certs/ca.pem", None, None))
        fields["broker"] = {"host": "h", "verify": False}
        self.assertTrue(config.parse(json.dumps(fields)).tls)

    def test_an_address_is_an_address(self):
        for address, good in (
            ("0.0.0.0", True),
            ("192.168.1.255", True),
            ("192.168.1.256", False),
            ("192.168.1", False),
            ("192.168.1.1.1", False),
            ("192.168..1", False),
            ("192.168.1.+1", False),
            ("192.168.1.0001", False),
            ("fe80::1", False),
            ("", False),
        ):
            for key in ("address", "netmask", "gateway", "dns"):
                static = {"address": "10.0.0.5", key: address}
                fields = dict(GOOD, networks=[{"ssid": "net", "static": static}])
                ethernet = {"phy_type": "LAN8720", "phy_addr": 1, "static": dict(static)}
                wired = dict(GOOD, networks=[], ethernet=ethernet)
                try:
                    taken = config.parse(json.dumps(fields)).networks[0]["static"]
                    self.assertEqual(config.parse(json.dumps(wired)).ethernet["static"], taken)
                    self.assertTrue(good, (key, address))
                except config.ConfigError as error:
                    self.assertTrue(("static.%s is " % key) in str(error))
                    self.assertFalse(good, (key, address))

    def test_a_static_address_needs_no_more_than_itself(self):
        fields = dict(GOOD, networks=[{"ssid": "net", "static": {"address": "10.0.0.5"}}])
        static = config.parse(json.dumps(fields)).networks[0]["static"]
        self.assertEqual((static["netmask"], static["gateway"]), ("255.255.255.0", "0.0.0.0"))
        self.assertEqual(static["dns"], None)

    def test_a_fall_back_broker_is_like_the_first_where_it_says_nothing_else(self):
        first = {"host": "one", "port": 99, "user": "me", "password": "secret", "ca": "/ca"}
        first.update(cert="/cert", key="/key", server_name="first")
        for own, expected in (
            ({}, {"port": 99, "user": "me", "password": "secret", "tls": True, "ca": "/ca"}),
            ({}, {"cert": "/cert", "key": "/key", "verify": True, "server_name": None}),
            ({"port": 1}, {"port": 1, "tls": True}),
            ({"tls": False}, {"port": 1883, "tls": False}),
            ({"tls": True}, {"port": 99}),
            ({"user": "you"}, {"user": "you", "password": None}),
            ({"cert": "/c", "key": "/k"}, {"cert": "/c", "key": "/k", "ca": "/ca"}),
            ({"verify": False, "ca": "/other"}, {"verify": False, "ca": "/other"}),
            ({"psk": dict(PSK)}, {"psk": PSK, "port": 99, "tls": True}),
        ):
            fields = dict(GOOD, broker=dict(first, fallback=dict(own, host="two")))
            parsed = config.parse(json.dumps(fields)).fallback
            for key, value in dict(expected, host="two").items():
                self.assertEqual(parsed[key], value, (own, key))

    def test_a_pre_shared_key_stands_in_place_of_certificates(self):
        fields = dict(GOOD, broker={"host": "h", "psk": dict(PSK)})
        parsed = config.parse(json.dumps(fields))
        self.assertEqual((parsed.psk, parsed.port, parsed.tls, parsed.ca), (PSK, 8883, True, None))
        for own, expected in (
            ({}, PSK),
            ({"user": "me"}, PSK),
            ({"psk": dict(PSK, identity="other")}, dict(PSK, identity="other")),
            # What is said of TLS is not to be passed over.
            ({"ca": "/ca"}, None),
            ({"tls": False}, None),
            ({"verify": False}, None),
        ):
            fields["broker"]["fallback"] = dict(own, host="two")
            self.assertEqual(config.parse(json.dumps(fields)).fallback["psk"], expected, own)

    def test_each_error_names_its_key(self):
        for changes, key in (
            ({"prefix": 5}, "prefix"),
            ({"prefix": "a/#"}, "prefix"),
            ({"prefix": ""}, "prefix"),
            ({"prefix": "/a"}, "prefix"),
            ({"prefix": "a\ud800"}, "prefix"),
            ({"prefix": "é" * 100 + "a"}, "201 bytes"),
            ({"networks": []}, "networks"),
            ({"networks": [{}]}, "networks.0.ssid is missing"),
            ({"networks": "net"}, "networks"),
            ({"broker": {}}, "host"),
            (
                {"broker": {"host": "h", "port": "1883"}},
                "port is '1883'; it must be a whole number",
            ),
            ({"broker": {"host": "h", "keepalive": 0}}, "broker.keepalive is 0; it must be from 1"),
            ({"broker": {"host": "h"}}, "broker.ca"),
            ({"broker": {"host": "h", "tls": "no"}}, "tls"),
            ({"networks": [{"ssid": "n", "static": {}}]}, "networks.0.static.address is missing"),
            ({"country": "de"}, "country is 'de'; it must be two capital letters"),
            ({"country": "DEU"}, "country"),
            ({"hostname": "a_b"}, "hostname is 'a_b'; it must be 1 to 32 letters"),
            ({"hostname": ""}, "hostname"),
            ({"hostname": "a" * 33}, "hostname"),
            ({"broker": {"host": "h", "tls": False, "fallback": {}}}, "broker.fallback.host"),
            (
                {"broker": {"host": "h", "tls": False, "fallback": {"host": "g", "tls": True}}},
                "broker.fallback.ca is missing",
            ),
            (
                {"broker": {"host": "h", "tls": False, "fallback": {"host": "g", "key": "/k"}}},
                "broker.fallback.cert is missing, which broker.fallback.key needs",
            ),
            ({"broker": {"host": "h", "ca": "/c", "cert": "/c"}}, "key"),
            ({"broker": {"host": "h", "psk": {}}}, "broker.psk.identity is missing"),
            ({"broker": {"host": "h", "psk": "x"}}, "broker.psk is 'x'; it must be an object"),
            (
                {"broker": {"host": "h", "tls": False, "psk": PSK}},
                "broker.psk is there, and tls is false",
            ),
            (_psk(identity="a:b"), "broker.psk.identity is 'a:b'; it must be of one line, without"),
            (_psk(identity="a\nb"), "broker.psk.identity"),
            (_psk(identity=""), "broker.psk.identity is ''; it has 0 bytes; 1 to 128"),
            (_psk(identity="ü" * 65), "it has 130 bytes"),
            (_psk(key="0" * 30), "broker.psk.key cannot be so: it must be 32 to 64 hexadecimal"),
            (_psk(key="0" * 33), "broker.psk.key cannot"),
            (_psk(key="0" * 66), "broker.psk.key cannot"),
            (_psk(key="g" * 32), "broker.psk.key cannot"),
            ({"update": {"confirm_s": -1}}, "confirm_s is -1; it must be more"),
            ({"update": []}, "update"),
            ({"update": {"allow_downgrade": 1}}, "allow_downgrade"),
            ({"modules": [1]}, "modules"),
            ({"auth": {}}, "auth.key is missing"),
            ({"bridge": {"tx": 1}}, "bridge.rx is missing"),
            ({"bridge": {"tx": 1, "rx": 2, "uart": 0}}, "bridge.uart is 0; it must be from 1 to 2"),
            ({"auth": {"key": 5}}, "auth.key cannot be so: it must be a text"),
            ({"auth": {"key": "k" * 19}}, "auth.key cannot be so: it has 19 bytes; 20 to 200"),
            ({"repl": {"json": "yes"}}, "repl.json is 'yes'; it must be true or false"),
        ):
            fields = dict(GOOD)
            fields.update(changes)
            with self.assertRaises(config.ConfigError) as caught:
                config.parse(json.dumps(fields))
            self.assertIn(key, str(caught.exception))
        for text in ("", "{", "[]", "null", "{}"):
            with self.assertRaises(config.ConfigError):
                config.parse(text)

    def test_the_json_repl_stays_off_beside_a_key(self):
        for changes, on, told in (
            ({}, None, ""),
            ({"repl": {}}, False, ""),
            ({"repl": {"json": True}}, True, ""),
            ({"repl": {"json": True}, "auth": {"key": "k" * 20}}, False, "repl.json is true; it"),
        ):
            parsed = config.parse(json.dumps(dict(GOOD, **changes)))
            self.assertEqual(parsed.repl and parsed.repl["json"], on)
            self.assertEqual(parsed.complaint[: len(told) or None], told)

    def test_what_is_doubtful_or_unknown_is_told_and_used_all_the_same(self):
        for changes, sentence in (
            ({"modlues": {}}, "modlues is not known"),
            ({"networks": [{"ssid": "n", "pasword": "x"}]}, "networks.0.pasword is not known"),
            ({"log": {"level": "loud"}}, "log.level is 'loud'; it must be one of debug, info"),
            ({"log": {"levels": {"mqtt": "x"}}}, "log.levels.mqtt is 'x'; it must be one of debug"),
            ({"log": {"levels": {"mqtt": 1}}}, "log.levels.mqtt is 1; it must be a text"),
            ({"timezone": "CET"}, "timezone is 'CET'; it must be like +01:00"),
            ({"ethernet": {"phy_type": 1}}, "ethernet.phy_type is 1; it must be a text"),
            ({"broker": {"host": "", "tls": False}}, "broker.host is ''; it must be the"),
        ):
            fields = dict(GOOD)
            fields.update(changes)
            self.assertIn(sentence, config.parse(json.dumps(fields)).complaint)
        fields["ethernet"] = {"phy_type": 1, "new": 2}
        self.assertEqual(config.parse(json.dumps(fields)).ethernet, fields["ethernet"])

    def test_levels_are_those_that_there_are(self):
        fields = dict(GOOD)
        fields["log"] = {"level": "loud", "levels": {"a": "x", "b": "debug", "c": None}}
        parsed = config.parse(json.dumps(fields))
        self.assertEqual((parsed.level, parsed.levels), ("info", {"b": "debug"}))
        self.assertEqual(config.parse(json.dumps(GOOD)).levels, {})

    def test_a_time_zone_is_a_distance_from_utc(self):
        for text, seconds in (
            ("+00:00", 0),
            ("-00:00", 0),
            ("+01:00", 3600),
            ("-03:30", -12600),
            ("+05:45", 20700),
            ("+14:00", 50400),
            ("-14:00", -50400),
        ):
            self.assertEqual(zone_seconds(text), seconds)
            parsed = config.parse(json.dumps(dict(GOOD, timezone=text)))
            self.assertEqual((parsed.zone_s, parsed.complaint), (seconds, ""))
        for text in ("", "Z", "1:00", "+1:00", "+01.00", "+0100", "+01:60", "+14:01", "+99:00"):
            with self.assertRaises(WireError):
                zone_seconds(text)
            self.assertEqual(config.parse(json.dumps(dict(GOOD, timezone=text))).zone_s, 0)
        for text in ("+0²:00", "+ 1:00", "+-1:00", "+01:0\n"):
            with self.assertRaises(WireError):
                zone_seconds(text)

    def test_no_message_shows_a_secret_or_what_may_have_one_inside(self):
        hidden = "s3cret"
        for changes in (
            {"networks": {"ssid": "n", "password": hidden}},
            {"networks": [{"ssid": "n", "password": "s3c"}]},
            {"networks": [{"ssid": "n", "pasword": hidden}]},
            {"broker": {"host": {"password": hidden}, "password": [hidden]}},
            {"broker": {"host": "h", "port": "-----BEGIN PRIVATE KEY-----" + hidden}},
        ):
            fields = dict(GOOD)
            fields.update(changes)
            try:
                told = config.parse(json.dumps(fields)).complaint
            except config.ConfigError as error:
                told = str(error)
            self.assertTrue(told)
            self.assertFalse("s3c" in told, told)

    def test_each_key_has_an_attribute_of_its_own(self):
        seen = []
        for name, kind, _, rows in KEYS:
            seen += [row[0] for row in rows] if kind == "group" else [name]
        self.assertEqual(len(seen), len(set(seen)))

    def test_too_little_time_to_confirm_an_update_is_set_right_and_never_refused(self):
        store = Store(FakeNvs())
        for update, confirm_s in (
            ({"confirm_s": 19}, 20),
            ({"health_s": 200, "confirm_s": 100}, 400),
            ({"health_s": 200}, 400),
            ({"health_s": 0.5, "confirm_s": 1}, 1),
        ):
            fields = dict(GOOD)
            fields["update"] = update
            parsed = config.parse(json.dumps(fields))
            self.assertEqual(parsed.confirm_s, confirm_s)
            for key in ("update.confirm_s", "update.health_s"):
                self.assertEqual(key in parsed.complaint, confirm_s > 1)
            store.set("config", json.dumps(fields))
            self.assertEqual(config.load("/does/not/exist", store)[0].confirm_s, confirm_s)

    def test_the_last_good_configuration_stands_in(self):
        store = Store(FakeNvs())
        with self.assertRaises(config.ConfigError):
            config.load("/does/not/exist.json", store)
        store.set("config", json.dumps(GOOD))
        loaded, complaint = config.load("/does/not/exist.json", store)
        self.assertEqual(loaded.prefix, "esp32/test")
        self.assertIn("/does/not/exist.json", complaint)


if __name__ == "__main__":
    unittest.main()
