"""Says which names a project cannot have: its module, its board and its topic are called like it.

On a board the module would be another one's namesake; in tests, where its folder is looked through
first, it would be found in the place of what tests need.
"""

import keyword
import re
import sys

from mqhost.build.layers import FILE as BOARD_FILE
from mqhost.errors import UsageError
from mqhost.extras import EXTRAS
from mqhost.paths import BOARDS

_NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")
# Modules of the board that CPython has none of: MicroPython's, and those of MQBoard.
_ON_BOARDS = {
    *("aioespnow", "apa106", "bluetooth", "boot", "btree", "cryptolib", "deflate", "dht"),
    *("ds18x20", "esp", "esp32", "espnow", "ffi", "flashbdev", "framebuf", "inisetup", "jni"),
    *("lwip", "machine", "main", "micropython", "mip", "neopixel", "network", "ntptime"),
    *("onewire", "openamp", "requests", "tls", "uasyncio", "uctypes", "umqtt", "upysh"),
    *("urequests", "vfs", "webrepl", "webrepl_setup", "websocket"),
    *("app", "mqboard", "mqbridge", "mqbuild", "mqgateway", "mqlink", "mqmanage", "mqnode"),
    *("mqpipe", "mqtt_as", "mqwire", "sysinfo", "tlspsk"),
}
# What tests of the project import besides what extras bring: of mqboard, and of pytest.
_IN_TESTS = {
    *("bsdiff4", "click", "cryptography", "httpx", "mqhost", "paho", "prompt_toolkit", "rich"),
    *("anyio", "urllib3"),
    *("colorama", "conftest", "exceptiongroup", "iniconfig", "packaging", "pluggy", "py"),
    *("pygments", "socks", "tomli", "typing_extensions"),
    *(module for modules in EXTRAS.values() for module in modules),
}


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can be that of a project, its board and its module."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a project: it becomes that of a module, a board and a "
            "topic, so it has 1 to 24 small letters, digits or _, and begins with a letter."
        )
    if (BOARDS / name / BOARD_FILE).is_file():
        raise UsageError(f"{name} is the name of a board of MQBoard's. Give the project another.")
    if name in {*sys.stdlib_module_names, *_ON_BOARDS} or keyword.iskeyword(name):
        raise UsageError(
            f"{name} is a word of Python, or a module that boards have. Give the project another "
            "name: its module has it, too."
        )
    if name in _IN_TESTS:
        raise UsageError(
            f"{name} is a module that tests of the project need, and would find yours in the place "
            "of. Give the project another name: its module has it, too."
        )
