"""Defines what a board's /config.json may say, for the board that reads it and the host that writes
it: its keys, their defaults and limits. By them mqwire.rules checks a configuration.

Times are in seconds, sizes in bytes of UTF-8.
"""

# One row a key: its name, its kind, its default, its limit. To add a key is to add its row.
#
# Kind: "text"; "secret", a text that is never shown; "file", a path or PEM text; "texts", a list of
# texts; "whole" and "number"; "bool"; and of keys, whose rows then stand in place of a limit
# (None: any keys):
#   "group"      an object whose keys stand beside all others once they are read, so each has a name
#                of its own: `broker.host` is the attribute `host`
#   "object"     an object that is read as a dict, defaults filled in
#   "objects"    a list of these
#   "arguments"  an object for somebody who knows better: handed on as it stands, at worst in doubt
# Default: what stands in for a key that is missing or null; `...`: it must be there. A list and a
# group need none: they are empty.
# Limit: (from, to), or texts of which it is one, or the name of a check that mqwire.rules makes.
#
# All of it is constants, so that it stays in flash: no names, no sums.
KEYS = (
    ("prefix", "text", ..., "prefix"),
    (
        "networks",
        "objects",
        None,
        (
            ("ssid", "text", ..., "ssid"),
            ("password", "secret", "", "passphrase"),
            (
                "static",  # in place of DHCP
                "object",
                None,
                (
                    ("address", "text", ..., "address"),
                    ("netmask", "text", "255.255.255.0", "address"),
                    ("gateway", "text", "0.0.0.0", "address"),
                    ("dns", "text", None, "address"),  # by default the gateway
                ),
            ),
        ),
    ),
    (
        "network",  # which of the networks to use, see mqboard.net.order
        "group",
        None,
        (
            ("order", "texts", None, "ways"),  # by default one alone, the first of WAYS there is
            ("wait_s", "number", 30, (5, 600)),
        ),
    ),
    ("country", "text", None, "country"),
    ("hostname", "text", None, "hostname"),
    (
        "ethernet",  # see mqboard.net.ethernet
        "arguments",
        None,
        (
            ("phy_type", "text", ..., None),
            ("phy_addr", "whole", ..., None),
            ("mdc", "whole", None, None),
            ("mdio", "whole", None, None),
            ("reset", "whole", None, None),
            ("power", "whole", None, None),
            ("cs", "whole", None, None),
            ("int", "whole", None, None),
            ("spi", "arguments", None, None),
            ("ref_clk", "whole", None, None),
            ("ref_clk_mode", "text", None, None),
            (
                "static",  # as with networks
                "object",
                None,
                (
                    ("address", "text", ..., "address"),
                    ("netmask", "text", "255.255.255.0", "address"),
                    ("gateway", "text", "0.0.0.0", "address"),
                    ("dns", "text", None, "address"),
                ),
            ),
        ),
    ),
    (
        "modem",  # see mqboard.net.modem
        "object",
        None,
        (
            ("uart", "whole", 1, (1, 4)),
            ("tx", "whole", ..., None),
            ("rx", "whole", ..., None),
            ("baud", "whole", 115200, (1200, 4000000)),
            ("apn", "text", ..., "at"),
            ("pin", "secret", None, "pin"),
            ("user", "text", None, "credential"),
            ("password", "secret", None, "credential"),
            ("dial", "text", "*99#", "at"),
            ("power", "whole", None, None),
        ),
    ),
    (
        "broker",
        "group",
        ...,
        (
            ("host", "text", ..., "host"),
            ("port", "whole", None, (1, 65535)),  # by default TLS_PORT, or PLAIN_PORT
            ("user", "text", None, "credential"),
            ("password", "secret", None, "credential"),
            ("keepalive", "number", 60, (1, 65535)),
            # Of MQTT. auto: 5, or 3.1.1 where the broker does not know that.
            ("version", "text", "3.1.1", ("3.1.1", "5", "auto")),
            ("session_s", "whole", 0, (0, 0xFFFFFFFF)),  # of MQTT 5: the session's expiry
            ("tls", "bool", True, None),
            ("ca", "file", None, None),
            ("cert", "file", None, None),
            ("key", "file", None, None),
            ("verify", "bool", True, None),
            ("server_name", "text", None, None),
            (
                "psk",  # in place of certificates
                "object",
                None,
                (("identity", "text", ..., "identity"), ("key", "secret", ..., "psk")),
            ),
            (
                "fallback",  # another broker; what it does not say is as with this one
                "object",
                None,
                (
                    ("host", "text", ..., "host"),
                    ("port", "whole", None, (1, 65535)),
                    ("user", "text", None, "credential"),
                    ("password", "secret", None, "credential"),
                    ("tls", "bool", None, None),
                    ("ca", "file", None, None),
                    ("cert", "file", None, None),
                    ("key", "file", None, None),
                    ("verify", "bool", None, None),
                    ("server_name", "text", None, None),
                    (
                        "psk",  # in place of certificates
                        "object",
                        None,
                        (("identity", "text", ..., "identity"), ("key", "secret", ..., "psk")),
                    ),
                ),
            ),
        ),
    ),
    ("ntp", "text", "pool.ntp.org", None),
    (
        "update",
        "group",
        None,
        (
            ("health_s", "number", 10, "positive"),
            ("confirm_s", "number", 300, "positive"),
            ("allow_downgrade", "bool", False, None),
            ("allow_rollback", "bool", False, None),
        ),
    ),
    (
        "watchdog",
        "group",
        None,
        (
            # Fed once a second: a shorter watchdog would bite a board that is well.
            ("timeout_s", "number", 60, (2, 86400)),
            ("network_s", "number", 600, "positive"),
            ("unreachable_s", "number", 3600, "positive"),
        ),
    ),
    ("timezone", "text", "+00:00", "timezone"),
    ("log", "group", None, (("level", "text", "info", "level"), ("levels", "object", None, None))),
    ("modules", "object", None, None),
    # What answers besides the commands; see mqboard.repl.json.
    ("repl", "object", None, (("json", "bool", False, None),)),
    # For boards that sleep between two wakes, see mqboard.power.
    (
        "power",
        "object",
        None,
        (
            ("period_s", "number", ..., (1, 604800)),
            ("awake_s", "number", 30, (1, 3600)),
            ("longest_s", "number", 900, (2, 86400)),
            (
                "wake_pins",
                "objects",
                None,
                (("pin", "whole", ..., (0, 63)), ("level", "whole", 1, (0, 1))),
            ),
            (
                "battery",
                "object",
                None,
                (
                    ("pin", "whole", ..., (0, 63)),
                    ("ratio", "number", 1, "positive"),
                    ("floor_v", "number", 0, (0, 60)),
                ),
            ),
        ),
    ),
    # An access point with a page that takes a configuration, see mqboard.portal.begin.
    (
        "setup",
        "object",
        None,
        (
            ("password", "secret", ..., "wpa"),
            ("after_s", "number", 0, (0, 604800)),  # unreachable for so long; 0: never
            ("pin", "whole", None, None),  # low at the start
            ("window_s", "number", 600, (60, 3600)),
        ),
    ),
    # Commands need a tag made with this key, see mqwire.auth.
    ("auth", "object", None, (("key", "secret", ..., "authkey"),)),
    (
        "bridge",  # MQTT for a target at a UART, see frozen/bridge/mqbridge.py
        "object",
        None,
        (
            ("tx", "whole", ..., None),
            ("rx", "whole", ..., None),
            ("uart", "whole", 1, (1, 2)),
            ("baud", "whole", 115200, (1200, 5000000)),
            ("name", "text", "target", "prefix"),
            ("silence_s", "number", 10, (3, 3600)),
            ("reset", "whole", None, None),
            ("reset_s", "number", None, "positive"),
            ("user", "text", None, "credential"),
            ("password", "secret", None, "credential"),
        ),
    ),
)

# The ways to a network, and under which key stands what each needs.
WAYS = (("ethernet", "ethernet"), ("wifi", "networks"), ("modem", "modem"))
PLAIN_PORT = 1883
TLS_PORT = 8883
# With less time to confirm an update than so many times health_s, none would ever be confirmed.
LEAST_CONFIRM = 2
# A new configuration has update.confirm_s to prove itself, and so long at most, whatever it says.
MAX_TRIAL_S = 3600
LOG_LEVELS = ("debug", "info", "warning", "error")

SETUP_S = 600  # as the default of setup.window_s
# What a board keeps a copy of in NVS, the configuration and PEM files: ESP-IDF takes no larger
# value in one piece.
MAX_KEPT = 4000

MAX_CREDENTIAL = 65535  # a user name, a password: MQTT writes a text's length in 16 bits
# Of auth.key. Whoever hears a command can try keys until the tag is right: it has to be random.
AUTH_KEY = (20, 200)
# Of broker.psk: OpenSSL 1.1, of which many brokers are made, takes no longer identity, and mbedTLS
# no longer key. Whoever records a handshake can try keys until one is right: it has to be random.
MAX_IDENTITY = 128  # bytes
PSK = (16, 32)  # bytes, two hexadecimal digits each
MAX_SSID = 32  # IEEE 802.11
PASSPHRASE = (8, 63)  # WPA2
