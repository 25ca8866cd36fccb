"""Checks a folder that was made: whether a broker, its boards and operators can work with it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mqhost.broker import authority as certificates
from mqhost.broker import mosquitto, snippets
from mqhost.broker.access import Access
from mqhost.broker.authority import Authority
from mqhost.broker.configure import CA_CERT, CA_KEY, RENEW_BEFORE, configure
from mqhost.broker.folder import Folder
from mqhost.broker.report import BROKER, Wish
from mqhost.errors import UsageError

_PRIVATE = (mosquitto.ACL, mosquitto.PASSWORDS, mosquitto.KEYS, mosquitto.SERVER_PEM)


@dataclass(frozen=True)
class Findings:
    """Sentences: what is `wrong`, so that something does not work or is not safe; and `advice`."""

    wrong: tuple[str, ...]
    advice: tuple[str, ...]


def check(path: Path, access: Access, file: str) -> Findings:
    """Look at the folder `path`, made for `access` from `file`; UsageError if it is none."""
    with Folder.opened(path, make=False) as folder:
        if folder.read(CA_CERT) is None:
            raise UsageError(f"{path} was not made by mqboard broker-config: no {CA_CERT} in it.")
        looking = _Looking(folder, access)
        looking.look()
    looking.compare(path, file)
    return Findings(tuple(looking.wrong), tuple(looking.advice))


class _Looking:
    def __init__(self, folder: Folder, access: Access) -> None:
        self.folder, self.access = folder, access
        self.wrong: list[str] = []
        self.advice: list[str] = []

    def look(self) -> None:
        """Look at each file by itself."""
        authority = Authority(self.folder.read(CA_CERT) or b"")
        self._date("The CA", authority.until)
        self._modes()
        self._revoked(authority)
        site = self.access.site
        if site.server_cert:
            self._foreign(Path(site.server_cert), Path(site.server_key))
        else:
            self._server(authority)
        if self.folder.read(CA_KEY) is not None:
            self.advice.append(
                f"The CA's key is here: {self.folder.path / CA_KEY}. Whoever has it can be any "
                "board and any operator: keep it, and a copy, where no network comes."
            )

    def compare(self, path: Path, file: str) -> None:
        """See whether the folder is what the file says now."""
        try:
            report = configure(path, self.access, file, Wish(dry_run=True))
        except UsageError as error:
            self.wrong.append(str(error))
            return
        self.advice += report.notes
        self.wrong += [
            f"{name} is not as it was made: somebody has changed it. What it should say belongs "
            f"into {file}; --replace makes it anew."
            for name in report.edited
        ]
        if report.added or report.removed or report.written:
            self.wrong.append(
                f"{file} was changed since: run mqboard broker-config again (with --dry-run to see "
                f"what it would do). To be written: {', '.join(report.written)}."
            )

    def _modes(self) -> None:
        names = [f"{BROKER}/{name}" for name in _PRIVATE]
        for user in self.access.users:
            names.append(f"{snippets.folder_of(user)}/{snippets.KEY}")
            if snippets.is_secret(self.folder.read(snippets.file_of(user)) or b""):
                names.append(snippets.file_of(user))
        for name in [*names, CA_KEY]:
            mode = self.folder.mode(name)
            if mode is not None and mode & 0o077:
                wrong = f"{name} can be read by others (mode {mode:o})"
                self.wrong.append(f"{wrong}: chmod 600 {self.folder.path / name}")

    def _revoked(self, authority: Authority) -> None:
        name = f"{BROKER}/{mosquitto.REVOKED}"
        data = self.folder.read(name)
        if data is None or not certificates.is_list_of(authority, data):
            self.wrong.append(f"{name} is no list of this CA: with it the broker lets nobody in.")

    def _server(self, authority: Authority) -> None:
        name = f"{BROKER}/{mosquitto.SERVER_PEM}"
        data = self.folder.read(name)
        if data is None or not certificates.is_pair(data, data):
            self.wrong.append(f"{name} is not a certificate with its key.")
            return
        found = certificates.read_certificate(data, name)
        if not authority.has_signed(found):
            self.wrong.append(f"{name} is not signed by this CA: no board would trust the broker.")
        self._names(name, certificates.server_names(found))
        self._date("The broker's certificate", found.not_valid_after_utc)

    def _foreign(self, cert: Path, key: Path) -> None:
        try:
            data, pair = cert.read_bytes(), key.read_bytes()
        except OSError as error:
            self.advice.append(f"{error.filename} cannot be looked at here: {error.strerror}.")
            return
        if not certificates.is_pair(data, pair):
            self.wrong.append(f"{cert} and {key} are not a certificate and its key.")
            return
        found = certificates.read_certificate(data, str(cert))
        self._names(str(cert), certificates.server_names(found))
        self._date(f"The certificate {cert}", found.not_valid_after_utc)

    def _names(self, where: str, names: set[str]) -> None:
        host = self.access.site.host
        wild = "*." + host.partition(".")[2]
        if host not in names and wild not in names:
            self.wrong.append(f"{where} is for {', '.join(sorted(names))}, and not for {host}.")

    def _date(self, what: str, until: datetime) -> None:
        left = until - datetime.now(UTC)
        if left.total_seconds() < 0:
            self.wrong.append(f"{what} is not valid since {until:%Y-%m-%d}.")
        elif left < RENEW_BEFORE / 6:
            self.wrong.append(f"{what} ends on {until:%Y-%m-%d}, in {left.days} days.")
        elif left < RENEW_BEFORE:
            self.advice.append(f"{what} ends on {until:%Y-%m-%d}.")
