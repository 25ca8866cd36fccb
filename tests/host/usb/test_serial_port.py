"""Tests which serial port is found when none is named."""

import pytest

from mqhost.errors import UsageError
from mqhost.usb import serial_port
from mqhost.usb.serial_port import Port, find_port


def test_the_only_usb_port_is_found():
    built_in, usb_port = Port("/dev/ttyS0", "", False), Port("/dev/ttyUSB0", "CP2102", True)
    assert find_port(None, [built_in, usb_port]) == "/dev/ttyUSB0"
    assert find_port("/dev/x", [built_in, usb_port]) == "/dev/x"


def test_several_ports_are_listed():
    found = [Port("/dev/ttyUSB0", "CP2102", True), Port("/dev/ttyACM0", "", True)]
    with pytest.raises(UsageError, match=r"2 serial ports: /dev/ttyUSB0 \(CP2102\), /dev/ttyACM0"):
        find_port(None, found)


def test_without_a_port_it_says_so():
    with pytest.raises(UsageError, match="no USB serial port.*carries data, or give --port"):
        find_port(None, [])
    with pytest.raises(UsageError, match=r"other ports: /dev/ttyS0\)"):
        find_port(None, [Port("/dev/ttyS0", "", False)])
    assert isinstance(serial_port.ports(), list)
