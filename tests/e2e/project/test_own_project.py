"""Makes a project in an empty folder and does with it what can be done with MQBoard's own boards.

Its board extends the simulated one; its firmware has a frozen application, a module in C, packages
by require(); it boots, and is updated to a second version. One build and one board for all of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BIN, BOOT
from tutorial import BUILDING, follow
from waiting import wait_until

from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.paths import ROOT

C_MODULE = r"""
#include "py/runtime.h"

static mp_obj_t tally_twice(mp_obj_t value) {
    return mp_obj_new_int(2 * mp_obj_get_int(value));
}
static MP_DEFINE_CONST_FUN_OBJ_1(tally_twice_obj, tally_twice);

static const mp_rom_map_elem_t tally_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_tally) },
    { MP_ROM_QSTR(MP_QSTR_twice), MP_ROM_PTR(&tally_twice_obj) },
};
static MP_DEFINE_CONST_DICT(tally_globals, tally_globals_table);

const mp_obj_module_t tally_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&tally_globals,
};
MP_REGISTER_MODULE(MP_QSTR_tally, tally_module);
"""
FILES = {
    "cmodules/tally/tally.c": C_MODULE,
    "cmodules/tally/micropython.mk": "SRC_USERMOD_C += $(USERMOD_DIR)/tally.c\n",
    "packages/words/manifest.py": 'metadata(version="1.0")\nmodule("words.py")\n',
    "packages/words/words.py": "GREETING = 'good morning'\n",
    "manifest.py": 'add_library("own", "packages")\nrequire("words")\nrequire("requests")\n',
    "app/lib/rules.py": "def value(count):\n    return count\n",
    "app/shed.py": """
import asyncio

import tally

from rules import value
from words import GREETING


async def start(board, settings):
    global said
    said = "%s %d %s" % (GREETING, tally.twice(value(21)), settings["who"])
    while True:
        await asyncio.sleep(3600)
""",
    "app/app.toml": '[modules.shed]\nwho = "world"\n',
}
PREFIX = "project/shed"


@pytest.fixture
def project(tmp_path, broker):
    """Give mqboard(*words) in a new project, which is `mqboard.root`."""
    environment = {key: value for key, value in os.environ.items() if "MQBOARD_" not in key}
    environment |= {key: os.environ[key] for key in BUILDING if key in os.environ}
    environment |= {"MQBOARD_SERVER": broker.host, "MQBOARD_PORT": str(broker.port)}
    environment |= {"MQBOARD_PREFIX": PREFIX, "COLUMNS": "200"}

    def run(*words, program=("mqboard",), code=0):
        result = subprocess.run(
            [str(BIN / program[0]), *program[1:], *words],
            cwd=run.root if run.root.exists() else tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
        )
        assert result.returncode == code, f"{words}\n{result.stdout}{result.stderr}"
        return result.stdout + result.stderr

    run.root = tmp_path / "shed"
    run.environment = environment
    return run


@pytest.fixture
def board(project):
    """Give boot() -> the simulated board of the project, as `mqboard sim` runs it."""
    started = []

    def boot():
        process = subprocess.Popen(
            [BIN / "mqboard", "sim"],
            cwd=project.root,
            env=project.environment,
            stdin=subprocess.DEVNULL,
            stdout=(project.root / "console").open("w"),
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return process

    yield boot
    for process in started:
        process.terminate()
        process.wait(30)


def test_a_project_of_ones_own_from_the_empty_folder_to_a_confirmed_update(
    project, board, broker, tmp_path
):
    # 1. A new project, with a board that extends the simulated one, and all that one can add.
    project("new", "shed", "--board", "sim")
    for name, text in FILES.items():
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    settings = project.root / "mqboard.toml"
    for line in ('frozen = ["app"]', 'c_modules = ["cmodules"]'):
        assert f"# {line}" in settings.read_text()
        settings.write_text(settings.read_text().replace(f"# {line}", line))
    assert "shed" in project("boards", "--definitions")

    # 2. Its firmware, in its own folder, as a version of its own.
    said = project("build", "--version", "1.0")
    assert "shed 1.0" in said
    report = json.loads((project.root / "build" / "shed" / "build.json").read_text())
    assert report["board"] == "shed" and report["application"] == {"shed": {"who": "world"}}
    origins = {report["origins"][name] for name in ("shed.py", "rules.py", "words.py")}
    assert origins == {"the project"}
    assert report["origins"]["requests/__init__.py"] == "MicroPython"

    # 3. It boots, and the application in it runs, with what it needs of C and of packages.
    board()
    settings = Settings(server=broker.host, port=broker.port, tls=False, prefix=PREFIX)
    with Session(settings) as session:

        def status(version):
            return session.wait_status(
                lambda found: found["state"] == "online" and found["version"] == version, BOOT
            )

        def value(code):
            return session.request("eval", code.encode()).data.decode()

        assert status("1.0"), (project.root / "console").read_text()
        state = "board.modules.find('shed').state()"
        wait_until(lambda: value(state) == "'running'", BOOT, lambda: value(state))
        assert value("board.modules.find('shed').file") == "'firmware'"
        assert value("__import__('tally').twice(4)") == "8"
        assert value("__import__('shed').said") == "'good morning 42 world'"

        # 4. What is frozen is not brought by files, which would never run.
        assert "is frozen into the firmware" in project("deploy", code=2)

        # 5. A second version goes over MQTT, by Invoke's tasks, and is confirmed.
        rules = project.root / "app" / "lib" / "rules.py"
        rules.write_text(rules.read_text().replace("return count", "return 2 * count"))
        tally = project.root / "cmodules" / "tally" / "tally.c"
        tally.write_text(tally.read_text().replace("(2 *", "(3 * /* not 2 */"))
        program = (Path(sys.executable).name, "-m", "invoke")
        assert "1.1, confirmed" in project("build", "--version", "1.1", "ota", program=program)
        assert status("1.1")["board"] == "shed"
        wait_until(lambda: value(state) == "'running'", BOOT, lambda: value(state))
        assert value("__import__('shed').said") == "'good morning 126 world'"
        log = (project.root / "build" / "shed" / "build.log").read_text()
        compiled = [line for line in log.splitlines() if line.startswith("CC ")]
        assert any(line.endswith("tally.c") for line in compiled)
        assert len(compiled) < 20, "only what has changed"


def test_the_page_about_projects_is_followed_word_for_word(broker, tmp_path):
    page = (ROOT / "docs" / "projects.md").read_text()
    online = "until mqboard status >status 2>&1; do sleep 0.2; done"
    follow(
        page,
        tmp_path,
        Settings(server=broker.host, port=broker.port, tls=False),
        replaced={
            "mqboard broker": "true",  # there is one
            "mqboard sim": f"mqboard sim >console 2>&1 & {online}",
        },
        patience=600,  # it compiles, on a machine that may be busy
    )
