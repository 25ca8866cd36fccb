"""Offers a test its board: what an application does is asked for, heard, and read in the log; what
happens to boards in the field is done to it.

Waits raise NothingCame, which is a failure of the test that says what came instead.
"""

import ast
import contextlib
import re
import time
from pathlib import Path
from typing import Any

import mqwire
from mqhost.errors import BoardError, ToolError
from mqhost.flash.partition import PartitionTable
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.manage.modules import RESTART, change, list_modules
from mqhost.remote.board_files import BoardFiles
from mqhost.remote.trees import put_files
from mqhost.repl.running import start
from mqhost.signing.offer import load_image
from mqhost.sim.broker import Broker
from mqhost.sim.device import Device, DeviceTimeout
from mqhost.testing.application import places_of
from mqhost.testing.messages import Messages
from mqhost.update.push import push

# Seconds that anything may take on a slow, busy machine, unless a test knows better. What works
# takes a small part of it.
PATIENCE = 30.0
_PING = 5.0  # seconds for a command that does nothing
_TAIL = 15  # lines


class NothingCame(ToolError, AssertionError):
    """Raised when what a test waited for did not come in time."""


class SimBoard:
    """A simulated board at a broker of its test. Made by fixtures: mqboard_board, mqboard_boards.

    `prefix`: the root of its topics. `config`: the configuration that it began with. `session`: for
    all that is not a method here, an mqhost.link.session.Session. `device`: its hardware, an
    mqhost.sim.device.Device. `broker`: where it is connected, an mqhost.sim.broker.Broker.
    """

    def __init__(
        self, config: dict[str, Any], broker: Broker, flash: Path, table: PartitionTable, heap: str
    ) -> None:
        self.config = config
        self.prefix: str = config["prefix"]
        self.broker = broker
        self.device = Device(flash, table=table, heap=heap, name=self.prefix)
        settings = Settings(
            server=broker.host,
            port=broker.port,
            tls=False,
            prefix=self.prefix,
            timeout=PATIENCE,
        )
        self.session = Session(settings)
        self._messages = Messages(settings)
        self._line, self._read = "", 0  # of the log that was found last, and up to where that is
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> "SimBoard":
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self.device.stop)
            cleanup.enter_context(self._messages)
            cleanup.enter_context(self.session)
            self.device.start()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    # What runs on it

    def eval(self, code: str, timeout: float = PATIENCE) -> Any:
        """Run Python on the board, as `mqboard eval`; `await` works, too. Return the value of a
        last expression if that is a number, a text, a list and the like, otherwise as text what was
        printed. BoardError with the traceback where it fails.
        """
        __tracebackhide__ = True
        run = start(self.session, code, timeout=timeout)
        text = b"".join(run).decode(errors="replace")
        if run.result and run.result.error:
            raise BoardError(run.result.error)
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            return text.rstrip("\n")

    def put(self, path: str | Path, to: str = "") -> None:
        """Put a file or a folder of this machine on the board, at `to`; by default into its root,
        under its own name. Modules that run already take it when they are restarted.
        """
        place = Path(path)
        found = places_of(place, to or f"/{place.name}")
        files = BoardFiles(self.session)
        parents = {name.rpartition("/")[0] for name in found} - {""}
        if parents:
            files.mkdir(sorted(parents), parents=True)
        put_files(files, found)

    @property
    def modules(self) -> dict[str, str]:
        """The states of its modules by name: running, waiting, failed, ended, disabled."""
        return {module.name: module.state for module in list_modules(self.session).modules}

    def restart_module(self, name: str) -> str:
        """Stop a module and start it again, with its code as it is now; return its state then."""
        return str(change(self.session, RESTART, name).get("state"))

    def update(self, image: str | Path, timeout: float = PATIENCE) -> str:
        """Update it to the app image `image` (app.bin, with image.json beside it), as `mqboard ota`
        does; return the version that it has confirmed. RolledBack if it went back.
        """
        offer, app = load_image(Path(image))
        return push(self.session, offer, app, confirm_timeout=timeout).new_version

    # What is published

    def publish(
        self, topic: str, payload: str | bytes = b"", *, qos: int = 1, retain: bool = False
    ) -> None:
        """Publish a message at the broker."""
        data = payload.encode() if isinstance(payload, str) else payload
        self._messages.publish(topic, data, qos, retain)

    def wait_message(self, topic: str, timeout: float = PATIENCE) -> bytes:
        """Wait for a message on `topic`, or matching it (+, #), and return its payload.

        Every message since the board was made counts, and is returned once, the oldest first: it is
        no matter whether it came before this was called.
        """
        __tracebackhide__ = True
        payload = self._messages.take(topic, timeout)
        if payload is None:
            raise NothingCame(
                f"No message came on {topic} within {timeout:g} s. What came, and nobody waited "
                f"for:\n{self._messages.untaken()}\n{self._tail()}"
            )
        return payload

    def messages(self, topic: str) -> list[bytes]:
        """Return the payloads of all messages on `topic` that were not returned yet: [] if none."""
        return self._messages.take_all(topic)

    # What it says

    @property
    def log(self) -> str:
        """All that it has printed since its first boot, line by line: its log among it."""
        return self.device.console.text()

    def wait_log(self, what: str | re.Pattern[str], timeout: float = PATIENCE) -> str:
        """Wait for a line of the log with the text `what` in it, or where the compiled pattern is
        found; return the line. The next call looks only behind it.
        """
        __tracebackhide__ = True
        pattern = re.compile(re.escape(what)) if isinstance(what, str) else what
        try:
            self.device.wait_for(lambda _: self._find_line(pattern), timeout)
        except DeviceTimeout:
            wanted = what if isinstance(what, str) else what.pattern
            raise NothingCame(
                f"No line of the log with {wanted!r} came within {timeout:g} s.\n{self._tail()}"
            ) from None
        return self._line

    def _find_line(self, pattern: re.Pattern[str]) -> bool:
        found = self.device.console.find_line(pattern.search, self._read)
        if found:
            self._line, self._read = found
        return bool(found)

    # What happens to it

    def wait_online(self, timeout: float = PATIENCE) -> None:
        """Wait until it is there: by its status, and since a command that was sent came back."""
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if self.session.wait_status(lambda now: now.get("state") == mqwire.ONLINE, left):
                # Its status may be that of before an outage, which the broker has not noticed yet.
                with contextlib.suppress(ToolError):
                    self.session.request("eval", b"0", timeout=_PING)
                    return
        raise NothingCame(
            f"{self.prefix} is not online after {timeout:g} s; it is {self.device.state.value}.\n"
            + self._tail()
        )

    def cut_power(self) -> None:
        """Take its power away; it is dark when this returns."""
        self.device.power_off()

    def power_on(self) -> None:
        """Give it power again; `wait_online` waits until it is there."""
        self.device.power_on()

    def reset(self) -> None:
        """Press its reset button, and wait until it has begun to boot."""
        boots = len(self.device.boots)
        self.device.press_reset()
        self.device.wait_boots(boots + 1)

    def drop_wifi(self) -> None:
        """Take the access point away."""
        self.device.wifi(False)

    def restore_wifi(self) -> None:
        """Bring the access point back; `wait_online` waits until the board has found it."""
        self.device.wifi(True)

    def stop_broker(self) -> None:
        """Stop the broker: a board that waits for it is not told anything any more."""
        self.broker.stop()

    def start_broker(self) -> None:
        """Start it again, with what it has retained."""
        self.broker.start()

    def _tail(self) -> str:
        return f"The log of {self.prefix} ends with:\n{self.device.console.tail(_TAIL)}"
