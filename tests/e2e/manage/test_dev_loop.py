"""Tests `mqboard dev` as it is used: a folder is edited, and a board follows."""

import os
import signal
import threading

import pytest
from waiting import wait_until

LAMP = """
import asyncio

from rules import words


async def start(board, settings):
    print("lamp", words(), settings["pin"])
    await asyncio.sleep(600)
"""
RULES = 'def words():\n    return "one"\n'
OTHER = "import asyncio\nasync def start(board, settings):\n    print('other runs')\n"
OTHER += "    await asyncio.sleep(600)\n"
SPEC = "[modules.lamp]\npin = 4\n[modules.other]\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "house"
    (made / "lib").mkdir(parents=True)
    (made / "lamp.py").write_text(LAMP)
    (made / "other.py").write_text(OTHER)
    (made / "lib" / "rules.py").write_text(RULES)
    (made / "app.toml").write_text(SPEC)
    return made


class Running:
    """`mqboard dev` as it runs; `said` is all that it has printed, as it came."""

    def __init__(self, process):
        self.process = process
        self.said = ""
        self._from = 0
        self._threads = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (process.stdout, process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream):
        for line in stream:
            self.said += line

    def wait(self, *texts):
        """Wait until all `texts` were printed since the last time."""
        wait_until(
            lambda: all(text in self.said[self._from :] for text in texts) or self._ended(),
            180,  # a build may wait for another one
            lambda: f"{texts}:\n{self.said}",
        )
        new = self.said[self._from :]
        assert all(text in new for text in texts), self.said
        self._from = len(self.said)
        return new

    def _ended(self):
        return self.process.poll() is not None

    def end(self):
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        for thread in self._threads:
            thread.join()
        return code


def test_what_is_saved_runs(board, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    running = Running(board.command("--timeout", "10", "dev", folder))
    try:
        running.wait("lamp one 4", "other runs", "confirmed; ")
        code, out, err = board.mqboard("dev", folder, "--once")
        assert code == 2 and f"process {running.process.pid}, for {folder}" in err

        # A module of its own starts alone, as an editor saves it.
        (folder / ".lamp.py.new").write_text(LAMP.replace('"lamp"', '"light"'))
        os.replace(folder / ".lamp.py.new", folder / "lamp.py")
        told = running.wait("light one 4", "sent lamp.py (", "lamp is running.")
        assert "other" not in told

        # What modules import has all of them start, with the new code.
        (folder / "lib" / "rules.py").write_text(RULES.replace("one", "two"))
        told = running.wait("light two 4", "other runs", "sent lib/rules.py (")
        assert "lamp is running; other is running" in told

        # What is no Python is not sent.
        (folder / "lamp.py").write_text(LAMP + "if (\n")
        running.wait("house/lamp.py, line 10: ", "Nothing was sent.")
        (folder / "lamp.py").write_text(LAMP + "1 / 0\n")
        running.wait("sent lamp.py (", "ZeroDivisionError")
        assert board.eval("board.modules.find('lamp').state()") == "'failed'"
        (folder / "lamp.py").write_text(LAMP)
        running.wait("lamp two 4", "lamp is running.")

        # A board that goes away is waited for.
        board.device.power_off()
        (folder / "lib" / "rules.py").write_text(RULES.replace("one", "three"))
        (folder / "lib" / "more.py").write_text("A = 1\n")
        running.wait("It is waited for.")
        board.device.power_on()
        running.wait("lib/more.py", "lamp three 4")

        # Other settings are another application.
        (folder / "lib" / "more.py").unlink()
        running.wait("removed lib/more.py")
        (folder / "app.toml").write_text(SPEC.replace("4", "5"))
        running.wait("lamp three 5", "confirmed; ")
        (folder / "lib" / "rules.py").write_text(RULES.replace("one", "four"))
        running.wait("lamp four 5", "lamp is running;")
        code = running.end()
        assert code == 130 and "Traceback" not in running.said.rpartition("lamp four 5")[2]
    finally:
        running.process.kill()
    assert board.eval("board.modules.find('lamp').state()") == "'running'"
    # What lies there is not what its manifest says any more, and is no hindrance.
    (folder / "lib" / "rules.py").write_text(RULES.replace("one", "five"))
    assert board.said("dev", folder, "--once") == ""
    assert "runs house" in board.said("deploy", folder)
    assert board.eval("__import__('rules').words()") == "'five'"


def test_without_a_board_there_is_a_simulated_one(board, folder):
    code, out, err = board.mqboard("dev", folder, "--sim", "--once")
    assert code == 0 and "A simulated board runs it." in err
    assert "dev/board runs what is in the folder" in err


def test_what_a_project_freezes_is_built_and_pushed(board, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "mqboard.toml").write_text('[project]\nname = "house"\nfrozen = ["app"]\n')
    (tmp_path / "app" / "app.toml").write_text("[modules.other]\n")
    (tmp_path / "app" / "other.py").write_text(OTHER)
    running = Running(board.command("dev", "--sim", cwd=tmp_path))
    try:
        running.wait("dev/board runs what is in the folder.")
        (tmp_path / "app" / "other.py").write_text(OTHER + "if (\n")
        running.wait("app/other.py, line 5: ", "Nothing was sent.")
        (tmp_path / "app" / "other.py").write_text(OTHER.replace("other runs", "it is new"))
        running.wait("it is new", "confirmed; ")
        assert running.end() == 130
    finally:
        running.process.kill()
