"""Tells when the board goes away and when it is back, each once, and how it is right now."""

import threading
import time
from collections.abc import Callable
from typing import Any

import mqwire
from mqhost.errors import ToolError
from mqhost.link.roster import is_away, offline_text
from mqhost.link.session import Session

_FRESH = 5.0  # seconds


class Presence:
    """What is known of the board of `session`; `facts` are those that its `info` told at first.

    `changed` is called, in another thread, when `refresh` has found out something.
    """

    def __init__(
        self, session: Session, facts: dict[str, Any], changed: Callable[[], None]
    ) -> None:
        self._session = session
        self._facts = facts
        self._changed = changed
        self._lock = threading.Lock()
        self._boot_id = facts.get("boot_id")
        self._told_away = False
        self._asked = time.monotonic()

    def absent(self) -> str:
        """Say that the board is not there, "" if it is."""
        status = self._session.last_status or {}
        if not is_away(status):
            return ""
        return f"{self._session.prefix} is {offline_text(status)}."

    def departure(self) -> str:
        """Say that the board went away, or came back with all that it had, if that is news."""
        absent = self.absent()
        with self._lock:
            if bool(absent) == self._told_away:
                return ""
            if not absent and self._restarted():
                return ""
            self._told_away = bool(absent)
        return absent or f"{self._session.prefix} is back."

    def restart(self, is_known: bool = False) -> str:
        """Say that the board has restarted, if that is news, and what follows. `is_known`: that it
        did was told already.
        """
        status = self._session.last_status or {}
        with self._lock:
            if not self._restarted():
                return ""
            self._boot_id = status.get("boot_id")
            self._told_away = False
        text = "What was defined there is gone."
        if is_known:
            return text
        mode = ", in safe mode" if status.get("mode") == "safe" else ""
        cause = f"reset cause {status.get('reset_cause')!s:.20}"
        return f"{self._session.prefix} has restarted ({cause}){mode}. {text}"

    def _restarted(self) -> bool:
        status = self._session.last_status or {}
        online = status.get("state") == mqwire.ONLINE
        boot_id = status.get("boot_id")
        return bool(online and boot_id and self._boot_id and boot_id != self._boot_id)

    def state(self) -> str:
        """Return what a line below the prompt tells."""
        session = self._session
        status = session.last_status or {}
        if not session.connection.connected:
            return f"{session.prefix}   no connection to the broker"
        if self.absent():
            return f"{session.prefix}   {status.get('state', '')!s:.20}"
        told = [session.prefix, f"{status.get('board', '')!s:.40}"]
        told.append(f"{status.get('version', '')!s:.40}")
        if status.get("mode") == "safe":
            told.append("safe mode")
        free = self._facts.get("heap_free")
        if isinstance(free, int):
            told.append(f"{free:,} B free")
        return "   ".join(filter(None, told))

    def refresh(self) -> None:
        """Ask the board how it is, unless that was a moment ago; does not wait."""
        if time.monotonic() - self._asked > _FRESH:
            self._asked = time.monotonic()
            threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        try:
            self._facts = self._session.request_json("info")
        except ToolError:
            return  # it is only for the line below the prompt
        self._changed()
