"""Decides from where, and as what, the server may be reached: where it listens, by which names
people reach it, and which proxies it believes.

On loopback without users everybody on this machine may do everything; from elsewhere somebody has
to log in, over TLS, or a reverse proxy has to say who it is.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from mqhost.errors import UsageError

HOST, PORT = "127.0.0.1", 8080
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Access:
    """`urls`: how people reach it, where that is another address than `host` and `port`, as behind
    a reverse proxy. `header`: the one in which a proxy at one of `proxies` says who it is. `tls`:
    the server itself has a certificate.
    """

    host: str = HOST
    port: int = PORT
    urls: tuple[str, ...] = ()
    header: str = ""
    proxies: tuple[Network, ...] = ()
    tls: bool = False

    @classmethod
    def parse(
        cls,
        listen: str = f"{HOST}:{PORT}",
        urls: tuple[str, ...] = (),
        header: str = "",
        proxies: tuple[str, ...] = (),
        tls: bool = False,
    ) -> "Access":
        """Read what a line says; UsageError for what makes no sense."""
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
                raise UsageError(f"{url!r:.100} is no address as https://fleet.example.org.")
        if header and not _HEADER.fullmatch(header):
            raise UsageError(f"{header!r:.60} is no name of a header, as X-Forwarded-User.")
        if bool(header) != bool(proxies):
            raise UsageError(
                "A proxy's header is believed from given addresses only: --proxy-header "
                "X-Forwarded-User and --proxy-from 127.0.0.1 go together."
            )
        host, port = _address(listen)
        trusted = tuple(_network(text) for text in proxies)
        return cls(host, port, urls, header, trusted, tls)

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in _LOCAL or _is_loopback(self.host)

    @property
    def shown(self) -> str:
        """The address for people."""
        if self.urls:
            return self.urls[0]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https only: their cookies are for that alone then."""
        shown = {urlsplit(url).scheme for url in self.urls}
        return self.tls or shown == {"https"}

    @cached_property
    def names(self) -> frozenset[str] | None:
        """The host names by which it may be reached; None: any."""
        named = {urlsplit(url).hostname or "" for url in self.urls}
        if not self.loopback and not named:
            return None
        return frozenset(named | _LOCAL | {self.host.lower()})

    @cached_property
    def origins(self) -> frozenset[str]:
        """The origins of `urls`, as browsers write them."""
        return frozenset(url.rstrip("/").lower() for url in self.urls)

    def check(self, users: bool) -> None:
        """Raise UsageError if nobody, or anybody, could come in; `users`: there are some."""
        where = f"{self.host}:{self.port}"
        if self.loopback:
            return
        if not users and not self.header:
            raise UsageError(
                f"At {where} everybody in the network could do anything with the boards. Make "
                "users first, with mqboard fleet user add NAME, or have a reverse proxy say who it "
                "is: --proxy-header."
            )
        if not self.secure:
            raise UsageError(
                f"At {where} passwords could be read on their way. Give --cert and --key, or, "
                "where a reverse proxy has the certificate, the address that people use: --url "
                "https://fleet.example.org."
            )

    def trusts(self, address: str) -> bool:
        """Return whether a proxy at that address is believed."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.proxies)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(listen: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT, [HOST]:PORT or a port."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536 or len(port) > 5:
        raise UsageError(f"{listen!r:.100} is no address to listen at, as 127.0.0.1:8080.")
    return host or HOST, int(port)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r:.60} is no address of a proxy, as 127.0.0.1 or 10.0.0.0/24: {error}."
        ) from error
