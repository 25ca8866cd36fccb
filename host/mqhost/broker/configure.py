"""Makes the folder, or brings it up to date with a file of users that has changed.

    Access, and what the folder has → what is to be written, removed, issued, revoked → all at once

What was given out stays valid: keys, certificates and passwords are made for users that have none.
Users that are gone are shut out, by the access rules and by revoking their certificates, but only
when that is asked for. A file that a person has changed since it was made is not written over.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mqhost.broker import authority as certificates
from mqhost.broker import mosquitto, passwords, rules, snippets
from mqhost.broker.access import CERTIFICATE, PASSWORD, PSK, SERVER, Access, Board, Operator, User
from mqhost.broker.authority import Authority
from mqhost.broker.folder import File, Folder
from mqhost.broker.report import BROKER, Report, Wish
from mqhost.broker.state import NAME as STATE
from mqhost.broker.state import Certificate, State, digest
from mqhost.errors import UsageError

CA_CERT, CA_KEY = "ca/ca.pem", "ca/ca.key"
IGNORED = ".gitignore"
# A broker's certificate that ends within this time is made anew with the next change.
RENEW_BEFORE = timedelta(days=180)
_KEPT = ".yours"
_SHOWN = 10  # names in a sentence


def configure(path: Path, access: Access, file: str, wish: Wish | None = None) -> Report:
    """Bring the folder `path` to what `access`, read from `file`, says. UsageError: nothing was
    changed, and why.
    """
    wish = wish or Wish()
    with Folder.opened(path, make=not wish.dry_run) as folder:
        work = _Work(folder, access, file, wish)
        work.run()
        return work.report


class _Work:
    """One run, from what is there to what is to be; `files` fills up, and is written at the end."""

    def __init__(self, folder: Folder, access: Access, file: str, wish: Wish) -> None:
        self.folder, self.access, self.wish = folder, access, wish
        self.report = Report(str(folder.path))
        self.files: dict[str, File] = {}
        self.gone: list[str] = []
        self.state = self._read_state(file)
        self.authority = self._find_authority()
        known = folder.read(f"{BROKER}/{mosquitto.PASSWORDS}") or b""
        self.hashes = passwords.read_passwords(known.decode(), mosquitto.PASSWORDS)
        known = folder.read(f"{BROKER}/{mosquitto.KEYS}") or b""
        self.keys = passwords.read_keys(known.decode(), mosquitto.KEYS)
        self.secrets: dict[str, str] = {}  # passwords in plain, of users where they are known

    def run(self) -> None:
        """Do all of it."""
        self._check_wishes()
        self._shut_out()
        for user in self.access.users:
            self._let_in(user)
        known, wanted = self.state.auth_keys, [b.name for b in self.access.boards if b.auth]
        self.state.auth_keys = {
            name: known.get(name) or passwords.make_password() for name in wanted
        }
        self._write_broker()
        for user in self.access.users:
            self._write_snippet(user)
        self._tidy()
        self._note()
        self._commit()

    # What is there

    def _read_state(self, file: str) -> State:
        data = self.folder.read(STATE)
        if data is None and self.folder.read(CA_CERT) and self.folder.read(f"{BROKER}/acl"):
            raise UsageError(
                f"{self.folder.path / STATE} is missing: nobody knows which certificates were "
                "given out. Take it back from a backup of the folder."
            )
        state = State.from_bytes(data, str(self.folder.path / STATE)) if data else State()
        state.file = file
        return state

    def _find_authority(self) -> Authority:
        """Return the CA of the folder; a new one if it has none."""
        certificate, key = self.folder.read(CA_CERT), self.folder.read(CA_KEY)
        where = str(self.wish.ca_key or self.folder.path / CA_KEY)
        if self.wish.ca_key:
            try:
                key = self.wish.ca_key.read_bytes()
            except OSError as error:
                raise UsageError(f"{where} cannot be read: {error.strerror}.") from error
        if certificate is not None:
            return Authority(certificate, key, where=where, passphrase=self.wish.passphrase)
        if key is not None:
            raise UsageError(f"There is a CA's key, {where}, and no certificate {CA_CERT} to it.")
        name = f"MQBoard CA of {self.access.site.host}"[:64]
        made, pem = Authority.make(name, self.wish.new_passphrase)
        self.files[CA_CERT], self.files[CA_KEY] = File(made.pem), File(pem, private=True)
        self.report.made_ca = True
        return made

    # Who gets in

    def _check_wishes(self) -> None:
        known = {user.name for user in self.access.users}
        for name in (*self.wish.renew, *self.wish.revoke):
            if name not in known and name != SERVER:
                raise UsageError(f"There is no user {name} in {self.state.file}.")
        if SERVER in self.wish.revoke or SERVER in self.wish.renew and self.access.site.server_cert:
            raise UsageError(
                "The broker's own certificate is not revoked: boards ask nobody whether it is. "
                f"--renew {SERVER} makes another; one from elsewhere is renewed where it is from."
            )

    def _shut_out(self) -> None:
        """Revoke what users have that are not there any more, or log in in another way now."""
        now = {user.name: user.login for user in self.access.users}
        gone = [one for one in self.state.certificates if one.revoked is None]
        gone = [one for one in gone if now.get(one.user) != CERTIFICATE]
        without = [name for name in self.hashes if now.get(name) != PASSWORD]
        keyless = [name for name in self.keys if now.get(name) != PSK]
        self.report.removed = sorted({*(one.user for one in gone), *without, *keyless})
        self._ask_before(self._lost_prefixes())
        self._revoke(gone)
        for name in without:
            del self.hashes[name]
        for name in keyless:
            del self.keys[name]
        before = self.state.prefixes
        if left := [prefix for name in before if name not in now for prefix in before[name]]:
            self.report.notes.append(
                f"The broker keeps the last status of {_some(left)}: mqboard boards --forget."
            )
        self.state.prefixes = {board.name: list(board.prefixes) for board in self.access.boards}

    def _revoke(self, given: Iterable[Certificate]) -> None:
        here = {user.name for user in self.access.users}
        for one in given:
            one.revoked = int(time.time())
            if one.user in here and one.user not in self.report.revoked:
                self.report.revoked.append(one.user)

    def _lost_prefixes(self) -> list[str]:
        """Return sentences about the boards that are still there, and not all their prefixes."""
        now = {board.name: board.prefixes for board in self.access.boards}
        lost = [
            (name, prefix)
            for name, before in self.state.prefixes.items()
            for prefix in before
            if name in now and prefix not in now[name]
        ]
        return [f"{name} loses what is below {prefix}" for name, prefix in lost]

    def _ask_before(self, lost: list[str]) -> None:
        """Raise UsageError if somebody would be cut off and that was not asked for."""
        self.report.notes += [f"{sentence}." for sentence in lost]
        if removed := self.report.removed:
            lost = [f"{_some(removed)} would get in no more with what they have now", *lost]
        if lost and not self.wish.remove and not self.wish.dry_run:
            raise UsageError(
                f"{'; '.join(lost[:_SHOWN])}: that is not in {self.state.file} any more. A board "
                "that moves has both prefixes in the meantime (also = […]). If it is meant: "
                "--remove. Nothing was changed."
            )

    def _let_in(self, user: User) -> None:
        """See that `user` has what it logs in with, and no more of them than are meant."""
        if user.login == CERTIFICATE:
            self._certify(user)
            return
        new = user.name not in (self.keys if user.login == PSK else self.hashes)
        if new or user.name in self.wish.renew or user.name in self.wish.revoke:
            self._give_secret(user)
            (self.report.added if new else self.report.renewed).append(user.name)
        elif user.login == PSK:
            self.secrets[user.name] = self.keys[user.name]
        else:
            self._find_password(user)

    def _give_secret(self, user: User) -> None:
        """Make a password or a key. mosquitto throws out who had another password, at its reload;
        with a key that does not count any more somebody goes on.
        """
        if user.login == PSK:
            if user.name in self.wish.revoke:
                self.report.revoked.append(user.name)
            self.secrets[user.name] = self.keys[user.name] = passwords.make_key()
            return
        self.secrets[user.name] = passwords.make_password()
        self.hashes[user.name] = passwords.hash_password(self.secrets[user.name])

    def _find_password(self, user: User) -> None:
        known = self.folder.read(snippets.file_of(user))
        password = snippets.password_in(user, known) if known else ""
        if password and passwords.is_password(password, self.hashes[user.name]):
            self.secrets[user.name] = password

    def _certify(self, user: User) -> None:
        has = self.state.certificates_of(user.name)
        renew = user.name in self.wish.renew
        if user.name in self.wish.revoke:
            # The one that was made last is the good one, unless there is no other.
            self._revoke(has if renew or len(has) == 1 else has[:-1])
        if self.state.certificates_of(user.name) and not renew:
            return
        issued = self.authority.issue_client(user.name, user.days)
        facts = issued.facts
        until = int(facts.not_valid_after_utc.timestamp())
        self.state.certificates.append(Certificate(user.name, facts.serial_number, until))
        (self.report.renewed if has else self.report.added).append(user.name)
        place = snippets.folder_of(user)
        self._make(f"{place}/{snippets.CERT}", issued.certificate)
        self._make(f"{place}/{snippets.KEY}", issued.key, private=True)

    # What is written

    def _write_broker(self) -> None:
        site = self.access.site
        place = site.folder or str((self.folder.path / BROKER).resolve())
        conf = mosquitto.configuration(self.access, place.rstrip("/"))
        self._make(f"{BROKER}/{mosquitto.CONF}", conf.encode())
        self._make(f"{BROKER}/{mosquitto.ACL}", rules.acl(self.access).encode(), private=True)
        self._make(f"{BROKER}/{mosquitto.CA}", self.authority.pem)
        text = passwords.write_passwords(self.hashes).encode()
        if text != (self.folder.read(f"{BROKER}/{mosquitto.PASSWORDS}") or b""):
            # Whoever changed a line of it changed a password: that holds, and is kept.
            self._set(f"{BROKER}/{mosquitto.PASSWORDS}", File(text, private=True))
        keys = passwords.write_keys(self.keys).encode()
        if keys != (self.folder.read(f"{BROKER}/{mosquitto.KEYS}") or b""):
            self._set(f"{BROKER}/{mosquitto.KEYS}", File(keys, private=True))
        self._write_revoked()
        if not site.server_cert:
            self._write_server()
        self._make(IGNORED, b"# Keys and passwords are not for a repository.\n*\n!boards.toml\n")

    def _write_revoked(self) -> None:
        name = f"{BROKER}/{mosquitto.REVOKED}"
        now, revoked = self.folder.read(name), self.state.revoked
        valid = now is not None and certificates.is_list_of(self.authority, now)
        if valid and certificates.revoked_serials(now or b"") == set(revoked):
            return
        self.state.revocations += 1
        self._set(name, File(self.authority.revoke(revoked, self.state.revocations)))

    def _write_server(self) -> None:
        name = f"{BROKER}/{mosquitto.SERVER_PEM}"
        site, data = self.access.site, self.folder.read(name)
        fits = False
        if data is not None and certificates.is_pair(data, data):
            now = certificates.read_certificate(data, name)
            fits = set(site.all_names) <= certificates.server_names(now)
            fits = fits and self.authority.has_signed(now)
            left = now.not_valid_after_utc - datetime.now(UTC)
            soon = min(RENEW_BEFORE, timedelta(days=site.server_days) / 3)
            if fits and left < soon and not self.authority.can_sign:
                self.report.notes.append(
                    f"The broker's certificate ends on {now.not_valid_after_utc:%Y-%m-%d}. With "
                    "the CA's key at hand (--ca-key) this command makes a new one."
                )
            else:
                fits = fits and left >= soon
            self.report.expires = f"{now.not_valid_after_utc:%Y-%m-%d}"
        if fits and SERVER not in self.wish.renew:
            return
        issued = self.authority.issue_server(site.all_names, site.server_days)
        # In one file, so that they never are of two kinds.
        self._set(name, File(issued.certificate + issued.key, private=True))
        self.report.expires = f"{issued.facts.not_valid_after_utc:%Y-%m-%d}"
        if data is not None:
            self.report.renewed.append(SERVER)

    def _write_snippet(self, user: User) -> None:
        place, name = snippets.folder_of(user), snippets.file_of(user)
        fresh = user.name in (*self.report.added, *self.report.renewed)
        password = self.secrets.get(user.name, "")
        if user.login == PASSWORD and not password:
            return  # whoever has it has it; here it is not known any more
        data = snippets.snippet(user, self.access, password, self.state.auth_keys)
        self._make(name, data, private=snippets.is_secret(data), again=fresh)
        if user.login != PSK:
            self._make(f"{place}/{snippets.CA}", self._trusted(), again=fresh)

    def _trusted(self) -> bytes:
        """Return the CA by which boards and operators know the broker."""
        path = self.access.site.server_ca
        if not path:
            return self.authority.pem
        try:
            pem = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f"server_ca {path} cannot be read: {error.strerror}.") from error
        certificates.read_certificate(pem, path)
        return pem

    def _make(self, name: str, data: bytes, *, private: bool = False, again: bool = True) -> None:
        """Have the file `name` be `data`, unless a person wants it otherwise: has changed it, or,
        if it is not needed `again`, removed it.
        """
        now, known = self.folder.read(name), self.state.written.get(name)
        if now is None and known is not None and not again:
            return
        brokers = name.startswith(f"{BROKER}/")
        if now is not None and known == digest(data) and not (brokers and self.wish.replace):
            if brokers and now != data:
                self.report.edited.append(name)
            return
        if now is not None and now != data and digest(now) != known:
            if not self.wish.replace:
                raise UsageError(
                    f"{self.folder.path / name} was changed by somebody since it was made, and "
                    f"would be replaced. --replace does so, and keeps it as {name}{_KEPT}. Nothing "
                    "was changed."
                )
            self.files[name + _KEPT] = File(now, private=True)
            self.report.notes.append(f"What somebody made of {name} is kept as {name}{_KEPT}.")
        self.state.written[name] = digest(data)
        if now != data:
            self._set(name, File(data, private))

    def _set(self, name: str, file: File) -> None:
        self.files[name] = file

    def _tidy(self) -> None:
        """Remove what was written for users who are gone, or log in in another way now."""
        wanted = set()
        for user in self.access.users:
            place = snippets.folder_of(user)
            wanted.add(snippets.file_of(user))
            if user.login != PSK:
                wanted.add(f"{place}/{snippets.CA}")
            if user.login == CERTIFICATE:
                wanted |= {f"{place}/{snippets.CERT}", f"{place}/{snippets.KEY}"}
        for name, known in list(self.state.written.items()):
            if name.split("/")[0] not in snippets.FOLDERS or name in wanted:
                continue
            data = self.folder.read(name)
            if data is not None and digest(data) == known:
                self.gone.append(name)
            elif data is not None:
                self.report.notes.append(f"{name} was changed by somebody, and is still there.")
            del self.state.written[name]

    def _note(self) -> None:
        """Say what somebody should look at."""
        report, access = self.report, self.access
        report.boards, report.operators = len(access.boards), len(access.operators)
        report.ca_expires = f"{self.authority.until:%Y-%m-%d}"
        for operator in access.operators:
            report.notes += _unmatched(operator, access.boards)
        soon = time.time() + RENEW_BEFORE.total_seconds() / 2
        for user in access.users:
            has = self.state.certificates_of(user.name) if user.login == CERTIFICATE else []
            if has and has[-1].until < soon:
                report.notes.append(
                    f"{user.name}'s certificate ends on {has[-1].end:%Y-%m-%d}: --renew {user.name}"
                )
            if len(has) > 1:
                report.notes.append(
                    f"{user.name} has {len(has)} valid certificates. When the new one is in use: "
                    f"--revoke {user.name}"
                )

    def _commit(self) -> None:
        state = self.state.to_bytes()
        self.report.written = sorted(self.files)
        self.report.deleted = sorted(self.gone)
        if state != self.folder.read(STATE):
            self._set(STATE, File(state, private=True))
        if self.files and not self.wish.dry_run:
            self.folder.change(self.files, self.gone)


def _unmatched(operator: Operator, boards: Iterable[Board]) -> list[str]:
    return [
        f"No board has a prefix like {pattern}, of {operator.name}."
        for pattern in operator.prefixes
        if operator.roles and not rules.matching(pattern, list(boards))
    ]


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
