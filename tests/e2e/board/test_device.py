"""Tests the simulated board: how runs end, what survives, what breaks on command.

The firmware here has a tiny main.py in place of ours: it runs /user.py and gives the prompt.
"""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from openfiles import open_files

from mqhost.sim.chip import EndKind
from mqhost.sim.device import AccessPoint, Device, DeviceTimeout, ResetCause, State
from mqhost.sim.filesystem import default_config, provision_flash
from mqwire.flash import SECTOR

MAIN = """
import machine
import os
print("main: cause", machine.reset_cause())
if "user.py" in os.listdir("/"):
    with open("/user.py") as file:
        exec(file.read())
answer = 42
"""
SET_BOOT_AND_RESET = (
    b"import esp32, machine; esp32.Partition('ota_1').set_boot(); machine.reset()\r"
)
WAIT = 30.0


@pytest.fixture(scope="session")
def bare(variant):
    return variant("bare", {"main.py": MAIN})


@pytest.fixture(scope="session")
def table(sim):
    return sim.table


@pytest.fixture
def make_device(tmp_path, bare, table):
    """make_device(user="...", name="a") -> a Device with power."""
    devices = []

    def make(user="", name="board", firmware=bare, **options):
        path = tmp_path / f"{name}.flash"
        config = default_config("e2e/device", "127.0.0.1", 1)
        files = {"/user.py": user.encode(), "/lib/extra.py": b"where = 'lib'"}
        provision_flash(path, firmware.flash, table, config, files=files)
        device = Device(path, table=table, name=name, **options)
        devices.append(device)
        return device.start()

    yield make
    for device in devices:
        device.stop()


@pytest.fixture
def device(make_device):
    device = make_device()
    device.wait_console(">>> ", WAIT)
    return device


def enter(device, code):
    """Type a line at the prompt; return what it printed."""
    start = device.console.position
    device.type(code.encode() + b"\r")
    end = device.wait_console("\n>>> ", WAIT, since=start)
    return device.console.text(start)[: end - start - 5].split("\n", 1)[-1].strip()


def prompt_after(device, action):
    """Do something that reboots the board; return when its prompt is back."""
    boots, start = len(device.boots), device.console.position
    action()
    device.wait_boots(boots + 1, WAIT)
    device.wait_console("\n>>> ", WAIT, since=start)


def causes(device):
    return [boot.reset_cause for boot in device.boots]


# Booting.


def test_it_boots_main_and_gives_the_prompt_with_its_names(device):
    assert device.boots[0].slot == "ota_0"
    assert causes(device) == [ResetCause.PWRON]
    assert device.state is State.RUNNING
    assert "main: cause 1" in device.console.text()
    assert enter(device, "answer, __name__") == "(42, '__main__')"


def test_the_root_is_the_boards_own_filesystem(device):
    assert enter(device, "import os; sorted(os.listdir('/'))") == (
        "['config.json', 'lib', 'user.py']"
    )
    assert "ENOENT" in enter(device, "open('/etc/passwd')")
    assert "ImportError" in enter(device, "import extra")  # not before somebody asks for files
    assert enter(device, "sys.path.append('/lib'); import extra; extra.where") == "'lib'"


def test_files_survive_a_power_cycle(device):
    enter(device, "f = open('/note', 'w'); f.write('kept'); f.close()")
    device.power_off()
    assert device.state is State.OFF
    assert device.pid is None
    prompt_after(device, device.power_on)
    assert enter(device, "open('/note').read()") == "'kept'"


def test_the_heap_is_small(device):
    assert 180_000 < int(enter(device, "import gc; gc.mem_free() + gc.mem_alloc()")) <= 192 * 1024


def test_blank_slots_are_a_state_and_not_a_crash(tmp_path, table, make_device, bare):
    device = make_device()
    device.wait_boots(1, WAIT)
    device.power_off()
    slots = [(slot.offset, slot.size) for slot in table.slots]
    saved = device.flash.read(*slots[0])
    for offset, size in slots:
        device.flash.erase(offset, size)
    device.power_on()
    device.wait_for(lambda _: device.state is State.DEAD, WAIT)
    device.wait_console("nothing bootable", WAIT)
    device.flash.program(slots[0][0], saved)
    device.press_reset()
    device.wait_boots(2, WAIT)


# How runs end.


@pytest.mark.parametrize(
    ("code", "cause", "kind"),
    [
        ("import machine; machine.reset()", ResetCause.HARD, EndKind.RESET),
        ("import machine; machine.deepsleep(50)", ResetCause.DEEPSLEEP, EndKind.SLEEP),
        ("import machine; machine.soft_reset()", ResetCause.SOFT, EndKind.SOFT_RESET),
        ("import sys; sys.exit()", ResetCause.SOFT, EndKind.SOFT_RESET),
        ("import machine; machine.WDT(timeout=200)", ResetCause.WDT, EndKind.WATCHDOG),
        (
            "import machine; machine.WDT(timeout=200); exec('while True: pass')",
            ResetCause.WDT,
            EndKind.WATCHDOG,
        ),
    ],
)
def test_the_reset_cause_says_how_the_run_before_ended(device, code, cause, kind):
    device.type(code.encode() + b"\r")
    assert device.wait_boots(2, WAIT).reset_cause is cause
    assert device.ends[0].kind is kind
    device.wait_console(f"main: cause {int(cause)}", WAIT)


def test_ctrl_d_at_the_prompt_is_a_soft_reset(device):
    device.type(b"\x04")
    assert device.wait_boots(2, WAIT).reset_cause is ResetCause.SOFT
    device.wait_console("MPY: soft reboot", WAIT)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_crash_of_the_cpu_is_a_hard_reset(device, number):
    os.kill(device.pid, number)
    assert device.wait_boots(2, WAIT).reset_cause is ResetCause.HARD
    assert device.ends[0].kind is EndKind.CRASH
    assert device.ends[0].detail == f"died of {number.name}"


def test_the_reset_button_is_power_on(device):
    enter(device, "import machine; machine.RTC().memory(b'kept')")
    device.press_reset()
    assert device.wait_boots(2, WAIT).reset_cause is ResetCause.PWRON


def test_a_fed_watchdog_does_not_bite(device):
    feed = "exec('for i in range(10):\\n w.feed(); time.sleep_ms(100)')"
    enter(device, "import machine, time; w = machine.WDT(timeout=1000)")
    enter(device, feed)
    assert len(device.boots) == 1
    assert device.wait_boots(2, WAIT).reset_cause is ResetCause.WDT


def test_boot_loops_slow_down(make_device):
    device = make_device(user="machine.reset()")
    device.wait_boots(7, WAIT)
    gaps = [b.time - a.time for a, b in zip(device.boots, device.boots[1:], strict=False)]
    assert gaps[-1] > 0.5


def test_deep_sleep_lasts_and_a_reset_ends_it(device):
    device.type(b"import machine; machine.deepsleep()\r")
    device.wait_for(lambda _: device.state is State.ASLEEP, WAIT)
    assert device.pid is None
    device.press_reset()
    assert device.wait_boots(2, WAIT).reset_cause is ResetCause.PWRON


# What survives.


def test_rtc_memory_survives_all_but_the_loss_of_power(device):
    # Behind what _boot.py notes there.
    enter(device, "from machine import RTC; RTC().memory(b'MQB2' + bytes(88) + b'kept')")
    for code in (b"import machine; machine.reset()\r", b"\x04"):
        prompt_after(device, lambda code=code: device.type(code))
        assert enter(device, "import machine; machine.RTC().memory()[92:]") == "b'kept'"
    device.power_off()
    prompt_after(device, device.power_on)
    assert enter(device, "import machine; machine.RTC().memory()[92:]") == "b''"


def test_nvs_keeps_values_and_raises_what_the_port_raises(device):
    enter(device, "from esp32 import NVS; n = NVS('test'); n.set_i32('i', -5)")
    enter(device, "n.set_blob('b', bytes(range(256)) * 15); n.commit()")
    prompt_after(device, device.press_reset)
    enter(device, "from esp32 import NVS; n = NVS('test')")
    assert "ESP_ERR_NVS_NOT_FOUND" in enter(device, "n.get_i32('x')")
    assert enter(device, "n.get_i32('i')") == "-5"
    assert enter(device, "b = bytearray(4000); n.get_blob('b', b), b[255], b[3839]") == (
        "(3840, 255, 255)"
    )
    assert "ESP_ERR_NVS_INVALID_LENGTH" in enter(device, "n.get_blob('b', bytearray(10))")
    assert "ESP_ERR_NVS_TYPE_MISMATCH" in enter(device, "n.get_i32('b')")
    enter(device, "n.erase_key('i')")
    assert "-4354" in enter(device, "n.get_i32('i')")


def test_the_clock_starts_where_told_and_survives_a_reset(device):
    assert enter(device, "import time; time.localtime()[:3]") == "(2000, 1, 1)"
    enter(device, "import machine; machine.RTC().datetime((2031, 5, 6, 0, 7, 8, 9, 0))")
    prompt_after(device, lambda: device.type(b"machine.reset()\r"))
    assert enter(device, "import time; time.localtime()[:5]") == "(2031, 5, 6, 7, 8)"
    assert enter(device, "time.mktime(time.gmtime(12345)) == 12345") == "True"
    device.clock(1_800_000_000)
    device.power_off()
    prompt_after(device, device.power_on)
    assert enter(device, "import time; time.gmtime()[:3]") == "(2027, 1, 15)"
    assert enter(device, "import machine; machine.RTC().datetime()[:4]") == "(2027, 1, 15, 4)"


# Slots and updates.


def test_partitions_are_those_of_the_table(device):
    enter(device, "from esp32 import Partition as P; running = P(P.RUNNING)")
    assert enter(device, "running.info()") == "(0, 16, 65536, 1572864, 'ota_0', False)"
    assert enter(device, "P(P.BOOT).info()[4], running.get_next_update().info()[4]") == (
        "('ota_0', 'ota_1')"
    )
    assert enter(device, "[p.info()[4] for p in P.find(P.TYPE_DATA)]") == (
        "['nvs', 'otadata', 'phy_init', 'vfs']"
    )
    assert enter(device, "P('vfs').ioctl(4, 0), P('vfs').ioctl(5, 0)") == "(240, 4096)"
    assert "ENOENT" in enter(device, "P('nothing')")
    assert "ESP_ERR_OTA_VALIDATE_FAILED" in enter(device, "P('ota_1').set_boot()")
    assert "ESP_ERR_INVALID_SIZE" in enter(device, "P('ota_1').readblocks(383, bytearray(5000))")


def test_blocks_are_written_erased_and_read(device, table):
    slot = table.find("ota_1")
    enter(device, "from esp32 import Partition as P; p = P('ota_1'); b = bytearray(9000)")
    enter(device, "b[0] = 1; b[4096] = 2; b[8999] = 3; p.ioctl(6, 0); p.ioctl(6, 1); p.ioctl(6, 2)")
    enter(device, "p.writeblocks(0, b, 0)")
    expected = bytearray(9000)
    expected[0], expected[4096], expected[8999] = 1, 2, 3
    assert device.flash.read(slot.offset, 9001) == bytes(expected) + b"\xff"
    enter(device, "p.writeblocks(1, b'\\x07' * 4096); p.writeblocks(0, b'\\xfe', 1)")
    assert device.flash.read(slot.offset, 2) == b"\x01\x00", "programming only clears bits"
    assert device.flash.read(slot.offset + SECTOR, SECTOR) == b"\x07" * SECTOR
    assert enter(device, "c = bytearray(2); p.readblocks(1, c, 10); sum(c)") == "14"
    small = "q = P.find(P.TYPE_APP, label='ota_1', block_size=512)[0]"
    enter(device, f"{small}; q.writeblocks(9, b'\\x55' * 512)")
    assert device.flash.read(slot.offset + SECTOR, 1024) == b"\x07" * 512 + b"\x55" * 512


def test_an_image_on_trial_runs_from_the_other_slot_and_is_rolled_back(device, table, bare):
    slot = table.find("ota_1")
    device.flash.program(slot.offset, bare.app.read_bytes())
    prompt_after(device, lambda: device.type(SET_BOOT_AND_RESET))
    assert device.boots[1].slot == "ota_1"
    device.type(b"\x04")
    assert device.wait_boots(3, WAIT).slot == "ota_1", "a soft reset goes past the bootloader"
    os.kill(device.pid, signal.SIGKILL)
    assert device.wait_boots(4, WAIT).slot == "ota_0"


def test_a_confirmed_image_stays(device, table, bare):
    device.flash.program(table.find("ota_1").offset, bare.app.read_bytes())
    prompt_after(device, lambda: device.type(SET_BOOT_AND_RESET))
    enter(device, "from esp32 import Partition as P; P.mark_app_valid_cancel_rollback()")
    device.press_reset()
    assert device.wait_boots(3, WAIT).slot == "ota_1"


# Faults.


def test_power_goes_in_the_middle_of_a_flash_operation(device, table):
    slot = table.find("ota_1")
    enter(device, "from esp32 import Partition as P; p = P('ota_1'); b = bytearray(4096)")
    device.cut_power_after(1, partial=0.5)
    device.type(b"p.writeblocks(0, b)\r")
    device.wait_for(lambda _: device.state is State.OFF, WAIT)
    assert device.flash.read(slot.offset, SECTOR) == bytes(2048) + b"\xff" * 2048
    device.power_on()
    assert device.wait_boots(2, WAIT).reset_cause is ResetCause.PWRON


def test_wifi_takes_a_moment_and_a_wrong_password_says_so(device):
    enter(device, "import network, time; w = network.WLAN(network.STA_IF)")
    assert "Wifi Not Started" in enter(device, "w.connect('simnet', 'simpassword')")
    enter(device, "w.active(True); w.connect('simnet', 'wrong'); time.sleep_ms(200)")
    assert enter(device, "w.isconnected(), w.status()") == "(False, 202)"
    assert enter(device, "w.ifconfig()[0]") == "'0.0.0.0'"
    enter(device, "w.disconnect(); w.connect('nowhere', ''); time.sleep_ms(200)")
    assert enter(device, "w.status()") == "201"
    enter(device, "w.disconnect()")
    assert enter(device, "w.status()") == "1000"
    enter(device, "w.connect('simnet', 'simpassword'); s = w.status(); time.sleep_ms(200)")
    assert enter(device, "s, w.isconnected(), w.status(), w.ifconfig()[0]") == (
        "(1001, True, 1010, '127.0.0.1')"
    )
    assert "simnet" in enter(device, "w.scan()")


def test_networks_have_signals_and_can_do_without_dhcp(make_device):
    device = make_device(networks={"near": "12345678", "far": AccessPoint("12345678", -80)})
    device.wait_console(">>> ", WAIT)
    enter(device, "import network, time; w = network.WLAN(); w.active(True)")
    assert enter(device, "[(n[0], n[3]) for n in w.scan()]") == "[(b'near', -50), (b'far', -80)]"
    device.wifi(False, "near")
    device.wifi(True, "far", dhcp=False)
    join = "w.connect('far', '12345678'); time.sleep_ms(200)"
    enter(device, join)
    state = "w.status(), w.status('rssi'), w.isconnected(), w.ipconfig('dhcp4')"
    assert enter(device, state) == "(1001, -80, False, True)"
    assert "0x5004" in enter(device, "w.ifconfig('dhcp')")
    assert "invalid arguments" in enter(device, "w.ifconfig(('10.0.0.256', '', '', ''))")
    assert "0x5001" in enter(device, "w.ifconfig(('10.0.0.5', '255.0.0.0', '10.0.0.9', ''))")
    enter(device, "w.ipconfig(addr4=('10.0.0.5', '255.255.255.0'), gw4='10.0.0.1')")
    enter(device, join)
    assert enter(device, state) == "(1010, -80, True, False)"
    assert enter(device, "w.ifconfig()") == "('10.0.0.5', '255.255.255.0', '10.0.0.1', '0.0.0.0')"
    assert enter(device, "w.ipconfig('gw4')") == "'10.0.0.1'"
    enter(device, "w.ipconfig(dhcp4=True)")
    assert enter(device, "w.ipconfig('dhcp4')") == "True"


def test_without_wifi_connections_break_and_come_back_with_it(device):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        enter(device, "import network, socket, time; w = network.WLAN()")
        address = f"socket.getaddrinfo('127.0.0.1', {port})[0][-1]"
        assert "OSError: -202" in enter(device, address)
        connect = "w.active(True); w.connect('simnet', 'simpassword'); time.sleep_ms(200)"
        enter(device, connect)
        enter(device, f"s = socket.socket(); s.connect({address})")
        peer, _ = server.accept()
        with peer:
            device.wifi(False)
            peer.settimeout(WAIT)
            assert peer.recv(1) == b""
        assert enter(device, "s.recv(1)") == "b''"
        assert enter(device, "w.isconnected()") == "False"
        assert "OSError: 118" in enter(device, "socket.socket()")
        device.wifi(True)
        enter(device, "time.sleep_ms(200)")
        assert enter(device, "w.isconnected()") == "True"
        enter(device, f"s = socket.socket(); s.connect({address})")
        server.accept()[0].close()


def test_latency_is_that_of_real_flash(device):
    device.latency(True)
    enter(device, "from esp32 import Partition as P; import time; p = P('ota_1')")
    erase = "t = time.ticks_ms(); _ = p.ioctl(6, 0); time.ticks_diff(time.ticks_ms(), t) >= 45"
    assert enter(device, erase) == "True"


# The console.


def test_ctrl_c_stops_a_program(make_device):
    device = make_device(user="print('turning')\nwhile True: pass")
    device.wait_console("turning", WAIT)
    device.type(b"\x03")
    device.wait_console("KeyboardInterrupt", WAIT)
    device.wait_console(">>> ", WAIT)
    assert enter(device, "6 * 7") == "42"
    assert len(device.boots) == 1


def test_ctrl_c_in_the_middle_of_flash_operations_mixes_nothing_up(make_device, table):
    """Interrupted anywhere, a block holds what was written or nothing; the next exchange works."""
    device = make_device(
        user="from esp32 import Partition as P\np = P('ota_1')\nb = bytearray(4096)\n"
        "def turn():\n while True:\n"
        "  for i in range(200):\n   b[:] = bytes([i]) * 4096\n   p.writeblocks(i, b)\n"
    )
    device.wait_console(">>> ", WAIT)
    slot = table.find("ota_1")
    for _ in range(20):
        erases = device.flash.counters.erases
        start = device.console.position
        device.type(b"turn()\r")
        device.wait_for(lambda _, erases=erases: device.flash.counters.erases > erases + 3, WAIT)
        device.type(b"\x03")
        device.wait_console("KeyboardInterrupt", WAIT, since=start)
        device.wait_console("\n>>> ", WAIT, since=start)
        assert enter(device, "P(P.RUNNING).info()[4]") == "'ota_0'"
        for block in range(200):
            data = device.flash.read(slot.offset + block * SECTOR, SECTOR)
            assert set(data) in ({block}, {0xFF}), f"block {block}"
    assert len(device.boots) == 1


def test_timers_call_back_in_the_main_thread(device):
    enter(device, "import machine, time; seen = []; t = machine.Timer(0)")
    enter(device, "t.init(period=20, callback=lambda timer: seen.append(1))")
    enter(device, "exec('while len(seen) < 3: time.sleep_ms(5)')")
    enter(device, "t.deinit(); time.sleep_ms(50); n = len(seen); time.sleep_ms(100)")
    assert enter(device, "len(seen) == n") == "True"


def test_pins_and_identity(device):
    assert (
        enter(
            device,
            "from machine import Pin, WDT, unique_id; p = Pin(5, Pin.OUT, value=1); p.value()",
        )
        == "1"
    )
    assert enter(device, "p.off(); p()") == "0"
    assert enter(device, "len(unique_id()), unique_id()[:3]") == "(6, b'$\\n\\xc4')"
    assert "invalid pin" in enter(device, "Pin(99)")
    assert "WDT timeout too short" in enter(device, "WDT(timeout=0)")


# Cleaning up.


def test_stop_leaves_nothing(make_device, tmp_path):
    before = open_files()
    device = make_device()
    device.wait_boots(1, WAIT)
    pid = device.pid
    device.stop()
    device.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert device.state is State.STOPPED
    assert open_files() <= before, "others may close theirs meanwhile"
    assert [file.name for file in tmp_path.iterdir()] == ["board.flash"]


def test_boards_run_side_by_side(make_device):
    devices = [make_device(name=name) for name in ("a", "b", "c")]
    for device in devices:
        device.wait_console(">>> ", WAIT)
    identities = {enter(device, "import machine; machine.unique_id()") for device in devices}
    assert len(identities) == 3


def test_the_cpu_dies_with_its_host(tmp_path, bare, table):
    script = (
        "import sys; from pathlib import Path\n"
        "from mqhost.build.board import find; from mqhost.sim.device import Device\n"
        "device = Device(Path(sys.argv[1]), table=find('sim').table).start()\n"
        "device.wait_console('>>> ', 30); print(device.pid, flush=True); input()\n"
    )
    path = tmp_path / "flash"
    provision_flash(path, bare.flash, table, default_config("x", "127.0.0.1", 1))
    host = subprocess.Popen(
        [sys.executable, "-c", script, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with host:
        pid = os.pidfd_open(int(host.stdout.readline()))
        host.kill()
        ready, _, _ = select.select([pid], [], [], WAIT)
        os.close(pid)
        assert ready, "MicroPython outlived its host"


def test_waiting_in_vain_says_what_was_seen(device):
    seen = "(?s)board is running .* 'never'.*booted 1 times.*main: cause"
    with pytest.raises(DeviceTimeout, match=seen):
        device.wait_console("never", 0.1)


def test_an_exchange_costs_less_than_real_hardware_would(device):
    """So that tests measure the firmware and not the bus; 22 and 37 µs on an idle machine."""
    enter(device, "import _bus, time; from esp32 import Partition as P; p = P('ota_1')")
    enter(device, "b = bytearray(4096); best = lambda f: min(f() for _ in range(50))")
    enter(device, "span = lambda t: time.ticks_diff(time.ticks_us(), t)")
    enter(device, "def ping():\n t = time.ticks_us(); _bus.call(0); return span(t)\n\n")
    assert int(enter(device, "best(ping)")) < 300
    started = time.monotonic()
    enter(device, "for i in range(100): p.writeblocks(i, b, 0)\n\n")
    assert time.monotonic() - started < WAIT
