"""Tests updates over MQTT into a real board's other slot, and everything that may go wrong."""

import json
import signal

import pytest
import signed

import mqwire
from mqhost.build.build import build
from mqhost.cli.update.pushing import run_ota
from mqhost.paths import FROZEN
from mqhost.signing.offer import load_image
from mqhost.update.failures import RolledBack
from mqhost.update.push import push
from mqwire import update as wire

NO_NETWORK = "async def open_stream(host, port):\n    raise OSError(113)\n"
CRASH = "raise RuntimeError('broken at import')\n"
QUICK = {"health_s": 0.5, "confirm_s": 4}


def ota(board, image):
    """Push a build; returns the UpdateResult."""
    with board.session() as session:
        return push(session, *load_image(image.app))


def write_image(folder, app, **changes):
    """Write an app.bin with an image.json that belongs to it."""
    return signed.write_image(folder, app, signed.signed_offer(app, **changes))


def test_an_update_ends_confirmed_in_the_other_slot(board, firmware, variant):
    new = variant("2.0.0")
    code, out, err = board.mqboard("ota", "--image", new.app)
    assert code == 0, err
    assert f"{firmware.version} → 2.0.0, confirmed in slot ota_1" in out
    facts = json.loads(board.said("info", "--json"))
    assert (facts["version"], facts["image"]) == ("2.0.0", new.sha256)
    assert (facts["slot"], facts["slot_state"]) == ("ota_1", "valid")
    assert facts["confirm_s"] == 60 and "crashes" not in facts
    # Its hash was kept when it was written: not even its first boot has read it whole.
    assert int(board.eval("__import__('_bus').slot_bytes_read")) <= 65_536
    # And back: the same way.
    result = ota(board, firmware)
    assert (result.old_version, result.slot) == ("2.0.0", "ota_0")
    assert board.wait_confirmed()["image"] == firmware.sha256


def test_a_confirmed_update_survives_a_power_cycle_and_may_be_taken_back(board, firmware, variant):
    board.wait_settled()
    ota(board, variant("2.0.0"))
    board.device.power_off()
    boots = len(board.device.boots)
    board.device.power_on()
    board.device.wait_boots(boots + 1)
    assert board.wait_online()["version"] == "2.0.0"
    code, out, err = board.mqboard("rollback")
    assert code == 0, err
    assert f"is back at {firmware.version} in slot ota_0, confirmed" in out


def test_pushing_what_runs_sends_nothing(board, firmware):
    code, out, _ = board.mqboard("ota", "--image", firmware.app)
    assert code == 0
    assert "Nothing was sent" in out
    assert len(board.device.boots) == 1


def test_the_board_names_its_own_build(make_board, sim):
    board = make_board(build(sim))
    board.wait_online()
    assert "already runs" in board.mqboard("ota")[1]


def test_another_boards_image_is_refused(board, variant, tmp_path):
    app = variant("2.0.0").app.read_bytes()
    path = write_image(tmp_path / "c3", app, board="esp32c3", mcu="esp32c3")
    code, _, err = board.mqboard("ota", "--image", path)
    assert code == 2 and "esp32c3" in err
    code, _, err = board.mqboard("ota", "--image", path, "--force")
    assert code == 5 and "sim" in err
    assert board.slot_is_blank()


def test_an_image_larger_than_the_slot_is_refused(board, tmp_path):
    path = write_image(tmp_path / "large", b"\xe9" + bytes(1_572_864))
    code, _, err = board.mqboard("ota", "--image", path)
    assert code == 5
    assert "1572865" in err.replace(",", "") and "1572864" in err.replace(",", "")


def test_an_image_that_is_none_is_refused_by_the_slot(board, firmware, tmp_path):
    app = bytearray(firmware.app.read_bytes())
    app[1000] ^= 1
    path = write_image(tmp_path / "bad", bytes(app))
    code, _, err = board.mqboard("ota", "--image", path)
    assert code == 1, err
    facts = json.loads(board.said("info", "--json"))
    assert (facts["slot"], facts["image"]) == ("ota_0", firmware.sha256)
    assert len(board.device.boots) == 1


def test_a_truncated_image_is_found_on_the_host(board, variant, tmp_path):
    path = write_image(tmp_path / "cut", variant("2.0.0").app.read_bytes())
    path.write_bytes(path.read_bytes()[:-5000])
    code, _, err = board.mqboard("ota", "--image", path)
    assert code == 2
    assert "image.json" in err


def test_a_flipped_bit_on_the_way_is_asked_for_again(board, variant):
    offer, app = load_image(variant("2.0.0").app)
    with board.session() as session:
        with session.open("update") as exchange:
            topic = mqwire.blocks_topic(board.prefix, "flipbits")
            options = json.dumps({"topic": topic}).encode()
            exchange.send(wire.pack_request(offer.to_bytes(), offer.signature, options))
            parts = exchange.parts(20)
            code, _, _, needed = wire.unpack_reply(next(parts))
            assert code == wire.RECEIVING and wire.bitmap_get(needed, 0)
            good = app[:4096]
            bad = bytes((good[0] ^ 1,)) + good[1:]
            for _ in range(4):
                session.connection.publish(topic, wire.pack_record(0, wire.RAW, bad))
            _, _, received, needed = wire.unpack_reply(next(parts))
            assert received == 4 and wire.bitmap_get(needed, 0)
            for _ in range(4):
                session.connection.publish(topic, wire.pack_record(0, wire.RAW, good))
            _, _, received, needed = wire.unpack_reply(next(parts))
            assert received == 8 and not wire.bitmap_get(needed, 0)
        assert push(session, offer, app).blocks_sent == offer.count - 1


def test_no_broker_is_exit_code_3(board):
    class Nowhere:
        host, port = "127.0.0.1", 1

    board.broker = Nowhere
    code, _, err = board.mqboard("ota")
    assert code == 3
    assert "127.0.0.1:1" in err


def test_ctrl_c_in_the_middle_and_a_second_ota(board, firmware, variant):
    new = variant("2.0.0")
    board.device.latency(True)
    process = board.command("ota", "--image", new.app)
    try:
        line = ""
        while "Sending blocks: " not in line:
            line = process.stdout.readline()
            assert line, process.communicate()
        # The first line says how many there are, the second that some have arrived.
        while not process.stdout.readline().startswith("Sending blocks: "):
            pass
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert f"keeps running {firmware.version}" in out
    assert "Traceback" not in err
    board.device.latency(False)
    assert board.eval("1+1") == "2"
    result = ota(board, new)
    assert 0 < result.blocks_sent < result.blocks_total
    assert board.wait_confirmed()["version"] == "2.0.0"


def test_slow_flash_is_compared_once_and_shown(board, variant):
    new = variant("2.0.0")
    board.device.read_latency(0.016)
    code, out, err = board.mqboard("ota", "--image", new.app)
    assert (code, err) == (0, "")
    console = board.device.console.text()
    assert console.count("update needs") == 1
    assert "does not reach us" not in console
    for stage in ("The board compares what it has", "The board checks the whole image"):
        assert out.count(f"{stage}: ") > 1, out


def test_a_slot_that_has_it_all_is_compared_and_verified_once_however_slow(board, variant):
    new = variant("2.0.0")
    board.wait_settled()
    board.device.power_off()
    with board.path.open("r+b") as flash:
        flash.seek(board.table.slots[1].offset)
        flash.write(new.app.read_bytes())
    board.device.read_latency(0.05)
    board.device.power_on()
    board.device.wait_boots(2)
    board.wait_online()
    code, out, err = board.mqboard("ota", "--image", new.app)
    assert (code, err) == (0, "")
    assert "its slot had them all" in out
    console = board.device.console.text()
    assert "does not reach us" not in console
    assert (console.count("update needs 0"), console.count("is in place")) == (1, 1)


def test_an_update_waits_until_the_board_has_confirmed_what_it_runs(make_board, variant):
    images = variant("2.0.0"), variant("3.0.0")
    board = make_board(update={"health_s": 4, "confirm_s": 120})
    board.wait_online()
    with board.session() as session:
        boot_id = session.status()["boot_id"]
        first = board.command("ota", "--image", images[0].app)
        board.wait_status(session, lambda status: status["boot_id"] != boot_id)
        session.request("eval", b"board.supervisor.calm_s = lambda: 0")  # not healthy until we say
        second = board.command("ota", "--image", images[1].app)
        shown = ""
        while "Waiting until the board has confirmed what it runs" not in shown:
            line = second.stdout.readline()
            assert line, second.communicate()
            shown += line
        session.request("eval", b"del board.supervisor.calm_s")
    out, err = second.communicate(timeout=120)
    assert (first.wait(60), second.returncode, err) == (0, 0, ""), out
    assert board.wait_confirmed()["version"] == "3.0.0"


def test_an_update_that_waits_hears_of_the_rollback(make_board, firmware, variant):
    images = variant("2.0.0-sick", {"sick.py": ""}), variant("2.0.0")
    board = make_board(update={"health_s": 2, "confirm_s": 12})
    board.wait_online()
    with board.session() as session:
        boot_id = session.status()["boot_id"]
        first = board.command("ota", "--image", images[0].app)
        board.wait_status(session, lambda status: status["boot_id"] != boot_id)
        session.request("eval", b"board.supervisor.calm_s = lambda: 0")
    code, out, err = board.mqboard("ota", "--image", images[1].app)
    assert code == 1
    assert "Rolled back: 2.0.0-sick was started but not confirmed." in err
    assert first.wait(60) == 1
    assert board.wait_confirmed()["image"] == firmware.sha256


def test_firmware_that_never_reaches_the_broker_is_rolled_back(make_board, firmware, variant):
    board = make_board(update=QUICK)
    board.wait_online()
    lost = variant("2.0.0-lost", {"mqboard/net/stream.py": NO_NETWORK + OPENER})
    code, _, err = board.mqboard("ota", "--image", lost.app)
    assert code == 1
    assert "2.0.0-lost" in err and "did not reach the broker" in err
    facts = json.loads(board.said("info", "--json"))
    assert (facts["image"], facts["slot"]) == (firmware.sha256, "ota_0")
    assert (facts["failed"]["image"], facts["failed"]["code"]) == (lost.sha256, wire.NO_BROKER)


OPENER = """
def opener(link, host, port):
    async def open_when_up():
        return await open_stream(host, port)

    return open_when_up
"""


@pytest.mark.parametrize("module", ["mqboard/board.py", "mqboard/mqtt/client.py"])
def test_firmware_that_crashes_at_import_is_rolled_back(board, firmware, variant, module):
    broken = variant("2.0.0-broken", {module: CRASH})
    with board.session() as session:
        with pytest.raises(RolledBack, match="broken at import"):
            push(session, *load_image(broken.app))
        facts = session.request_json("info")
    assert (facts["image"], facts["mode"]) == (firmware.sha256, "normal")


def test_firmware_without_a_working_main_is_rolled_back_by_the_watchdog(board, firmware, variant):
    boot = (FROZEN / "_boot.py").read_text()
    sooner = boot.replace("_BRINGUP_MS = 30_000", "_BRINGUP_MS = 5_000")
    assert sooner != boot
    broken = variant("2.0.0-main", {"main.py": CRASH, "_boot.py": sooner})
    with board.session() as session:
        with pytest.raises(RolledBack, match="watchdog") as caught:
            push(session, *load_image(broken.app))
        assert caught.value.code == wire.WATCHDOG
        assert session.request_json("info")["image"] == firmware.sha256


ROUTER = (FROZEN / "mqboard" / "router.py").read_text()
LINK = (FROZEN / "mqboard" / "net" / "wifi.py").read_text()
LOST = LINK.replace('connect(network["ssid"], network["password"])', "connect('no such network')")
assert LOST != LINK
LOG = (FROZEN / "mqboard" / "log.py").read_text()
RUN = "    async def run(self, publish, up):\n"
DYING = LOG.replace(RUN, RUN + "        1 / 0\n")
assert DYING != LOG
WAKE = "        wake = self._wakes[queue]\n"
DEAF = ROUTER.replace(WAKE, "        await asyncio.sleep(9999)\n" + WAKE)
assert DEAF != ROUTER


@pytest.mark.parametrize(
    ("module", "source", "reason", "code"),
    [
        (
            "mqboard/update/receiver.py",
            CRASH,
            "cannot take updates.*broken at import",
            wire.UNHEALTHY,
        ),
        ("mqboard/router.py", DEAF, "commands did not reach it", wire.UNREACHABLE),
        ("mqboard/net/wifi.py", LOST, "get onto a network", wire.NO_NETWORK),
        ("mqboard/log.py", DYING, "become healthy", wire.UNHEALTHY),
    ],
)
def test_firmware_that_could_not_be_managed_is_not_confirmed(
    make_board, firmware, variant, module, source, reason, code
):
    board = make_board(update=QUICK)
    board.wait_online()
    broken = variant("2.0.0-unmanageable", {module: source})
    with board.session() as session:
        with pytest.raises(RolledBack, match=reason) as caught:
            push(session, *load_image(broken.app))
        assert caught.value.code == code
        assert session.request_json("info")["image"] == firmware.sha256


def test_an_update_after_a_failed_one_succeeds(board, variant):
    with board.session() as session:
        with pytest.raises(RolledBack):
            push(session, *load_image(variant("2.0.0-broken", {"mqboard/board.py": CRASH}).app))
        push(session, *load_image(variant("2.0.0").app))
        facts = session.request_json("info")
    assert (facts["version"], facts["failed"]) == ("2.0.0", None)


def test_power_lost_in_the_middle_resumes_with_what_is_missing(board, firmware, variant):
    new = variant("2.0.0")
    offer, app = load_image(new.app)
    board.device.cut_power_after(100)
    with board.session() as session, pytest.raises(Exception):  # noqa: B017 - silent or offline
        push(session, offer, app, patience=3, confirm_timeout=3)
    board.device.cut_power_after(None)
    board.device.power_on()
    with board.session() as session:
        birth = board.wait_status(session, lambda status: True)
        assert birth["image"] == firmware.sha256
        result = push(session, offer, app)
    assert 40 < result.blocks_sent < offer.count - 40
    assert board.wait_confirmed()["version"] == "2.0.0"


def test_a_broker_restart_in_the_middle_is_no_new_start(make_board, broker, variant):
    board = make_board()
    board.wait_online()
    board.device.latency(True)
    stages = []

    def progress(stage, done, total):
        if not stages and done > 20:
            stages.append(done)
            broker.restart()

    with board.session() as session:
        offer, app = load_image(variant("2.0.0").app)
        result = push(session, offer, app, full=True, progress=progress)
    assert stages
    assert result.blocks_sent < offer.count + 40
    assert board.wait_confirmed()["version"] == "2.0.0"


def test_ota_through_the_library_prints_what_it_did(board, variant, capsys):
    from rich.console import Console

    run_ota(board.settings(), None, variant("2.0.0").app, Console(width=200))
    out = capsys.readouterr().out
    assert "→ 2.0.0" in out and " B" in out
