"""Follows README.md word for word in a copy of the tree, as a newcomer would.

Every command line in its console blocks is run, in order, with a port and a cache of the test's
choosing; the lines under a command must be what it prints. Each section begins in the checkout, and
what stays in the foreground ends with it.
"""

import os
import re
import shutil
import signal
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from waiting import wait_until

from mqhost.paths import ROOT
from mqhost.sim.broker import free_port

# Commands that stay in the foreground, and what shows that they are ready ("": nothing).
FOREGROUND = {
    "mqboard broker": "MQTT broker on",
    "mqboard sim": "mode, reset cause",
    "./invoke broker": "MQTT broker on",
    "./invoke sim --prefix esp32/test": "mode, reset cause",
    "mqboard --prefix esp32/test log": "",
}
# Running this very test inside itself would never end: the command, but for collecting only. And
# what is not on every machine; test_wheel.py does the same with pip.
STAND_IN = {
    "./invoke test": "./invoke test -- --collect-only -q tests/board",
    "pipx install build/mqboard-*.whl": "ls build/mqboard-*.whl",
}


@dataclass
class Step:
    """A command line, the section it is in, and what the README shows under it."""

    line: str
    section: str
    shown: list[str] = field(default_factory=list)


def steps_of(text):
    steps = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        for block in re.findall(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                if line.startswith("$ "):
                    steps.append(Step(line[2:], section))
                else:
                    steps[-1].shown.append(line)
    return steps


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Make a copy of the files that git knows or would add."""
    folder = tmp_path_factory.mktemp("clone") / "mqboard"
    argv = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(argv, capture_output=True, check=True).stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    return folder


def start(line, folder, environment, log, venv):
    """Start a command in a shell of its own session; its output goes to `log`."""
    if (venv / "bin/activate").exists() and not line.startswith("source "):
        line = f"source {venv}/bin/activate && {line}"
    return subprocess.Popen(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def stop(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(path, text, timeout=60):
    def said():
        return path.read_text(errors="replace")

    wait_until(lambda: text in said(), timeout, said)


def test_every_command_of_the_readme_works(clone, tmp_path):
    steps = steps_of((clone / "README.md").read_text())
    assert {"./invoke demo", "./invoke test"} <= {step.line for step in steps}
    environment = {key: value for key, value in os.environ.items() if "MQBOARD" not in key}
    environment.pop("VIRTUAL_ENV", None)
    environment |= {"MQBOARD_PORT": str(free_port()), "COLUMNS": "120"}
    section, folder = "", clone
    printed = {}
    with ExitStack() as running:
        for number, step in enumerate(steps):
            if step.section != section:
                running.close()
                section, folder = step.section, clone
            if step.line.startswith("cd "):
                folder = folder / step.line[3:]
                continue
            path = tmp_path / f"{number}.txt"
            with path.open("w") as log:
                line = STAND_IN.get(step.line, step.line)
                process = start(line, folder, environment, log, clone / ".venv")
            running.callback(stop, process)
            printed[step.line] = path
            if step.line in FOREGROUND:
                wait_for(path, FOREGROUND[step.line])
                continue
            assert process.wait(300) == 0, f"{step.line}\n{path.read_text()}"
            for line in step.shown:
                assert line in path.read_text().splitlines(), step.line
            if step.line.startswith("invoke ota"):
                wait_for(printed["mqboard --prefix esp32/test log"], "update to 0.2.0 is in place")
    assert "Nothing is left running" in printed["./invoke demo"].read_text()
