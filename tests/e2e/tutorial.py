"""Follows a tutorial word for word: saves its files, runs its commands, looks for what it shows.

A page is a list of steps. A block under a sentence with "save this as `NAME`" is a file. In a
console block each line behind a $ is a command, and the lines under it are in what it prints; … in
them stands for anything. All run in one shell, in a folder of their own.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from waiting import wait_until

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"save this as `([\w./-]+)`", re.IGNORECASE)
_MARK = "=== step "
# mosquitto_pub and _sub, which are in a Debian package that nothing else needs.
_PUB = """
import sys, os, argparse, paho.mqtt.publish as publish
parser = argparse.ArgumentParser()
parser.add_argument("-t"); parser.add_argument("-m"); parser.add_argument("-r", action="store_true")
given = parser.parse_args()
where = dict(hostname=os.environ["MQBOARD_SERVER"], port=int(os.environ["MQBOARD_PORT"]))
publish.single(given.t, given.m, qos=1, retain=given.r, **where)
"""
_SUB = """
import os, argparse, paho.mqtt.subscribe as subscribe
parser = argparse.ArgumentParser()
parser.add_argument("-t"); parser.add_argument("-C", type=int)
given = parser.parse_args()
where = dict(hostname=os.environ["MQBOARD_SERVER"], port=int(os.environ["MQBOARD_PORT"]))
for message in subscribe.simple(given.t, msg_count=given.C, **where) if given.C > 1 else [
    subscribe.simple(given.t, **where)
]:
    print(message.payload.decode())
"""
_SAY = "mqboard eval 'board.log.info(\"look here\")' >/dev/null"
# Of the machine's environment: what firmware is built from, and where that is kept.
BUILDING = ("MQBOARD_CACHE", "MQBOARD_SIM_MICROPYTHON")
PROGRAMS = {"mosquitto_pub": _PUB, "mosquitto_sub": _SUB}


@dataclass
class Step:
    """A file to save, or (`name` empty) a command to run, and what it shows."""

    text: str
    name: str = ""
    shown: list[str] = field(default_factory=list)


def steps_of(page):
    """Return the steps of a page, in their order."""
    steps, end = [], 0
    for block in _BLOCK.finditer(page):
        before = page[end : block.start()].strip().rpartition("\n\n")[2]
        end = block.end()
        name = _FILE.search(before)
        if block[1] == "console":
            for line in block[2].splitlines():
                if line.startswith("$ "):
                    steps.append(Step(line[2:]))
                else:
                    steps[-1].shown.append(line)
        elif name:
            steps.append(Step(block[2], name[1]))
    return steps


def follow(
    page, folder, settings, *, replaced=None, following=(), codes=None, at_once=False, patience=180
):
    """Follow `page` in `folder`, with the broker and the board of `settings`.

    `replaced` are commands that something else is run for. Those in `following` follow the board's
    log, until the end; with `at_once` what they show comes before the next command. `codes` are the
    exit codes, one after the other, of commands that do not always end with 0. `patience`: seconds
    for all of it.
    """
    replaced = replaced or {}
    codes = {line: list(those) for line, those in (codes or {}).items()}
    steps = steps_of(page)
    commands = {step.text for step in steps if not step.name}
    assert {*replaced, *following, *codes} <= commands, "the page has changed"
    programs = folder / "programs"
    programs.mkdir()
    for name, code in PROGRAMS.items():
        (programs / name).write_text(f"#!{sys.executable}\n{code}")
        (programs / name).chmod(0o755)
    script = ["exec 2>&1"]
    for number, step in enumerate(steps):
        line = replaced.get(step.text, step.text)
        code = codes[step.text].pop(0) if step.text in codes else 0
        script.append(f"echo '{_MARK}{number}'")
        if step.name:
            script.append(f"cat >{step.name} <<'END OF FILE'\n{step.text}END OF FILE")
        elif step.text in following:
            script.append(f"{line} >'{folder}/{number}' 2>&1 &")
            # Until it does: what the board says from then on is in there.
            script.append(f"until grep -q 'look here' '{folder}/{number}'; do {_SAY}; done")
            for shown in step.shown if at_once else ():
                pattern = shlex.quote(".*".join(piece.strip() for piece in shown.split("…")))
                script.append(f"until grep -q {pattern} '{folder}/{number}'; do sleep 0.1; done")
        else:
            script.append(f"{line}\ncode=$?; [ $code = {code} ] || {{ echo exit $code; exit 99; }}")
    environment = {key: value for key, value in os.environ.items() if "MQBOARD" not in key}
    environment |= {key: os.environ[key] for key in BUILDING if key in os.environ}
    environment |= {"MQBOARD_SERVER": settings.server, "MQBOARD_PORT": str(settings.port)}
    environment["PATH"] = os.pathsep.join(
        [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    (folder / "home").mkdir()
    process = subprocess.Popen(
        ["bash", "-c", "\n".join([*script, f"echo '{_MARK}{len(steps)}'", "wait"])],
        cwd=folder / "home",
        env=environment | {"COLUMNS": "160", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=(folder / "output").open("w"),
        start_new_session=True,
    )
    output = folder / "output"
    try:
        wait_until(
            lambda: process.poll() is not None or f"{_MARK}{len(steps)}\n" in output.read_text(),
            patience,
            output.read_text,
        )
        assert process.poll() in (None, 0), output.read_text()
        for number, step in enumerate(steps):
            if step.text in following:
                path = folder / str(number)
                for line in step.shown:
                    wait_until(lambda: _is_in(line, path.read_text()), 20, path.read_text)  # noqa: B023
                continue
            said = output.read_text().partition(f"{_MARK}{number}\n")[2].partition(_MARK)[0]
            for line in step.shown:
                assert _is_in(line, said), f"{step.text}: no {line!r} in\n{said}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_in(line, said):
    """Return whether a line is among what was said, as wide as may be; … is anything."""
    words = [re.escape(part) for part in re.split(r"\s+", line.strip())]
    pattern = r"\s+".join(words).replace("…", ".*")
    return re.search(rf"^\s*{pattern}\s*$", said, re.MULTILINE) is not None
