"""Runs the MQTT client alone: ordinary MicroPython, the modules of manifest/client.py, no board.

`Standalone` runs clients/agent.py with the executable of the simulated board, but with nothing of
what is frozen into it, and has it do things: `do` runs the body of a coroutine there and returns
its value; what the program tells is kept in `told`, and `wait` waits for it.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from mqhost.flash.espimage import executable_of
from mqhost.paths import ROOT

HERE = Path(__file__).parent
PATIENCE = 20.0  # seconds that anything may take on a slow, noisy machine
HEAP = "320k"


class Raised(Exception):
    """Raised when the program was told to do what raised `name`."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name = name


def client_modules(manifest=ROOT / "manifest" / "client.py"):
    """Return {path in the package: file} of what the manifest for the client alone freezes."""
    files = {}

    def package(name, names, base_path):
        folder = manifest.parent / base_path / name
        files.update({f"{name}/{one}": folder / one for one in names})

    exec(manifest.read_text(), {"include": lambda _: None, "package": package})
    return files


def prepare(app, source, folder):
    """Put an executable and all it may import into `folder`; returns the folder.

    `app`: the simulated board's app image; `source`: MicroPython's, for its asyncio.
    """
    program = folder / "micropython"
    program.write_bytes(executable_of(app.read_bytes()))
    program.chmod(0o755)
    shutil.copytree(source / "extmod" / "asyncio", folder / "asyncio")
    mqtt5 = (ROOT / "frozen" / "mqboard" / "mqtt5").glob("*.py")
    files = client_modules() | {f"mqboard/mqtt5/{file.name}": file for file in mqtt5}
    for name, file in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(file, folder / name)
    for file in (HERE / "clients").glob("*.py"):
        shutil.copy(file, folder)
    return folder


class Standalone:
    """The program, running while the `with` block does; its end is polite unless it was killed."""

    def __init__(
        self,
        folder,
        port,
        *,
        host="127.0.0.1",
        client_id="board",
        backoff_ms=20,
        tls=None,
        heap=HEAP,
        mqtt5=False,
        **options,
    ):
        settings = {"host": host, "port": port, "client_id": client_id, "tls": tls}
        settings["mqtt5"] = mqtt5
        settings |= {"backoff_ms": backoff_ms, "options": options}
        self.told = []
        self._news = threading.Condition()
        self._number = 0
        self._ended = False
        self._process = subprocess.Popen(
            [folder / "micropython", "-X", f"heapsize={heap}", folder / "agent.py"],
            # Without .frozen: none of the firmware's modules.
            env={"MICROPYPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._send(settings)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and self._process.poll() is None:
                self.leave()
        finally:
            self.kill()

    def define(self, code):
        """Have it run plain code that defines names: imports, handlers."""
        self._send([0, code])

    def start(self, code):
        """Have it run the body of a coroutine; returns a number for `finish`."""
        self._number += 1
        self._send([self._number, code])
        return self._number

    def finish(self, number, timeout=PATIENCE):
        """Return the value that what `start` began returned; Raised if it raised."""

        def ended(words):
            return words[0] in ("returned", "raised") and words[1] == number

        words = self.wait_for(ended, timeout=timeout)
        if words[0] == "raised":
            raise Raised(words[2], words[3])
        return words[2]

    def do(self, code, timeout=PATIENCE):
        """Run the body of a coroutine there and return its value."""
        return self.finish(self.start(code), timeout)

    def wait(self, *words, since=0, timeout=PATIENCE):
        """Wait until it told something that begins with `words`, and return all of it."""
        return self.wait_for(lambda told: told[: len(words)] == list(words), since, timeout)

    def wait_for(self, condition, since=0, timeout=PATIENCE):
        """Return the first of what it told, from number `since` on, that meets `condition`."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for words in self.told[since:]:
                    if condition(words):
                        return words
                since = len(self.told)
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    what = "ended" if self._ended else "was waited for in vain"
                    raise AssertionError(f"The program {what}; it told: {self.told[-30:]}")
                self._news.wait(left)

    def all(self, *words):
        """Return all it told that begins with `words`."""
        with self._news:
            return [told for told in self.told if told[: len(words)] == list(words)]

    def wait_up(self, since=0, timeout=PATIENCE):
        """Wait for a connection; returns whether its session was there already."""
        return self.wait("up", since=since, timeout=timeout)[1]

    def leave(self):
        """Have it disconnect politely and end."""
        self._process.stdin.close()
        self._process.wait(PATIENCE)

    def kill(self):
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()
        self._reader.join(PATIENCE)

    def _send(self, line):
        self._process.stdin.write(json.dumps(line) + "\n")

    def _read(self):
        for line in self._process.stdout:
            try:
                words = json.loads(line)
            except ValueError:
                words = ["printed", line.rstrip()]
            with self._news:
                self.told.append(words)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
        print(f"agent ended; its last words: {self.told[-5:]}", file=sys.stderr)
