"""Reads and writes a chip at a serial port, through esptool as a command (its licence is the GPL).

Everything known of esptool's output is here: the chip and the flash size it found, its progress,
that it verified what it wrote, and what its errors mean. Written for esptool 5.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mqhost.build.board import Board
from mqhost.errors import BoardError, SilentBoardError, ToolError, UsageError
from mqhost.progress import Progress, silent
from mqhost.usb.target import Piece

# Not from the current folder: a file esptool.py there is none of our business.
COMMAND = (sys.executable, "-P", "-m", "esptool")
BAUD = 460800
_LITTLE = 64 * 1024

_CONNECTED = re.compile(r"^Connected to (\S+) on ", re.MULTILINE)
_FLASH_SIZE = re.compile(r"^Detected flash size: (\d+)(KB|MB)", re.MULTILINE)
_PERCENT = re.compile(r"(Writing|Reading|Erasing)\b.*?\s(\d+)(?:\.\d+)?%")
_STAGES = {"Writing": "writing", "Reading": "reading", "Erasing": "erasing"}
_FATAL = re.compile(r"A (?:fatal|serial exception) error occurred: (.*)", re.DOTALL)
_VERIFIED = "Hash of data verified."
_UNITS = {"KB": 1024, "MB": 1024 * 1024}

# What esptool's error contains → the error that it becomes, and what to do ({port}: its port).
_MEANINGS: tuple[tuple[str, type[ToolError], str], ...] = (
    (
        r"Permission denied",
        UsageError,
        "You may not open {port}. Join the group that may, log out and in again: "
        "sudo usermod -aG dialout $USER",
    ),
    (r"Errno 2\b|FileNotFound", UsageError, "There is no port {port}. Is the board connected?"),
    (
        r"exclusively lock|Errno 11\b|Errno 16\b|Access is denied",
        UsageError,
        "{port} is in use by another program. Close it: a monitor, perhaps?",
    ),
    (
        r"Failed to connect|No serial data|Wrong boot mode|Invalid head of packet",
        SilentBoardError,
        "No ESP chip answers at {port}. Hold its BOOT button, press and let go EN (or RST), run "
        "this again and let go BOOT. Does the cable carry data, is it the right port?",
    ),
    (
        r"MD5 of file does not match|written flash region is empty|Verification failed",
        BoardError,
        "The chip at {port} does not hold what was written to it. Try again with --baud 115200; "
        "if that does not help, its flash is worn out or wired wrongly.",
    ),
    (
        r"stopped responding|serial exception|timed out|Timed out|Lost connection|"
        r"Serial data stream stopped|disconnected|Invalid (?:packet|SLIP)|Corrupt data",
        BoardError,
        "The connection to the chip at {port} broke off. Try again with --baud 115200, another "
        "cable or another USB port. Nothing is lost: flash it again.",
    ),
)


class Esptool:
    """The chip at serial port `port` (see `Target`). `baud` is the speed of the transfer.

    `command` is how esptool is run: a test puts another program in its place.
    """

    def __init__(
        self,
        port: str,
        *,
        baud: int = BAUD,
        progress: Progress = silent,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.where = port
        self._progress = progress
        self._command = tuple(command)
        self._port = ("--port", port)
        self._speed = ("--baud", str(baud))

    def identify(self, board: Board) -> str:
        """Return the chip's name; UsageError unless it is `board`'s mcu with enough flash."""
        self._progress("looking for the chip", 0, 0)
        # The chip stays in its bootloader, so that an old firmware does not start in between.
        output = self._run("--after", "no-reset", "flash-id")
        connected = _CONNECTED.search(output)
        if not connected:
            raise BoardError(f"esptool does not say which chip it found:\n{_end(output)}")
        chip = connected[1]
        if chip.lower().replace("-", "") != board.mcu:
            raise UsageError(
                f"The chip at {self.where} is an {chip}; board {board.name} is made for "
                f"{board.mcu}. Nothing was written. mqboard boards --definitions lists the boards."
            )
        size = _FLASH_SIZE.search(output)
        if size and int(size[1]) * _UNITS[size[2]] < board.flash_size:
            raise UsageError(
                f"The {chip} at {self.where} has {size[1]} {size[2]} of flash; board {board.name} "
                f"needs {board.flash_size // _UNITS['MB']} MB. Nothing was written."
            )
        return f"{chip} with {size[1]} {size[2]} of flash" if size else chip

    def read(self, address: int, size: int) -> bytes:
        """Read from the chip's flash."""
        with tempfile.TemporaryDirectory(prefix="mqboard-") as folder:
            file = Path(folder) / "read.bin"
            # A little is read at esptool's own speed: a chip whose reset is pressed by hand stays
            # in its bootloader with the speed it was last told.
            speed = self._speed if size > _LITTLE else ()
            words = "read-flash", f"{address:#x}", f"{size:#x}", str(file)
            self._run(*speed, "--after", "no-reset", *words)
            data = file.read_bytes() if file.exists() else b""
        if len(data) != size:
            raise BoardError(
                f"esptool read {len(data):,} B from {self.where} instead of {size:,} B."
            )
        return data

    def write(self, pieces: Sequence[Piece], *, erase: bool = False) -> None:
        """Write `pieces`, verified by the chip's own MD5 of its flash; then the chip resets."""
        words = ["write-flash", *(["--erase-all"] if erase else [])]
        # A folder that only we can read: a filesystem's image has passwords in it.
        with tempfile.TemporaryDirectory(prefix="mqboard-") as folder:
            for number, piece in enumerate(pieces):
                file = Path(folder) / f"{number}.bin"
                file.write_bytes(piece.data)
                words += [f"{piece.address:#x}", str(file)]
            output = self._run(*self._speed, *words, names=[piece.name for piece in pieces])
        if output.count(_VERIFIED) < len(pieces):
            raise BoardError(
                f"esptool wrote to {self.where}, but could not verify it: flash encryption or the "
                "secure download mode is on. This tool does not know how to handle such a chip."
            )

    def _run(self, *words: str, names: Sequence[str] = ()) -> str:
        """Run esptool to its end and return its output; raises what its error means."""
        if self._command == COMMAND and importlib.util.find_spec("esptool") is None:
            raise ToolError("esptool is missing. Install it with: pip install esptool")
        argv = [*self._command, *self._port, *words]
        lines: list[str] = []
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=_environment(),
            )
        except OSError as error:
            raise ToolError(
                f"{argv[0]} cannot be run: {error.strerror}. Install it with: pip install esptool"
            ) from error
        watch = self._watcher(names)
        with process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    lines.append(line)
                    watch(line)
            except BaseException:
                process.terminate()  # Ctrl-C: the chip stays in its bootloader
                raise
        output = "".join(lines)
        if process.returncode:
            raise self._meaning(output, process.returncode)
        return output

    def _watcher(self, names: Sequence[str]) -> Callable[[str], None]:
        """Return a function that finds the progress in esptool's lines. `names` are the pieces."""
        done = 0

        def watch(line: str) -> None:
            nonlocal done
            name = f" {names[done]}" if done < len(names) else ""
            percent = _PERCENT.search(line)
            if percent:
                self._progress(_STAGES[percent[1]] + name, int(percent[2]), 100)
            elif line.startswith(("Erasing flash memory", "Flash memory will be erased")):
                self._progress("erasing", 0, 0)
            done += _VERIFIED in line

        return watch

    def _meaning(self, output: str, code: int) -> ToolError:
        """Make the error for a failed run."""
        fatal = _FATAL.search(output)
        said = " ".join(fatal[1].split()) if fatal else _end(output)
        for pattern, kind, sentence in _MEANINGS:
            if re.search(pattern, said):
                return kind(sentence.format(port=self.where))
        return BoardError(f"esptool failed at {self.where} (exit code {code}): {said}")


def _environment() -> dict[str, str]:
    """Return this process's environment without what would change esptool's output or options."""
    unwanted = ("ESPTOOL_", "FORCE_COLOR", "TTY_", "ESPRESSIF_IDE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def _end(output: str, lines: int = 8) -> str:
    """Return the last lines of what a program printed."""
    return "\n".join(output.strip().splitlines()[-lines:])
