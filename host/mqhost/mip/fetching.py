"""Gets bytes for packages: over HTTPS, or from a folder of this machine that is an index."""

from pathlib import Path

import httpx

from mqhost.errors import ToolError, UsageError

INDEX = "https://micropython.org/pi/v2"
_SECONDS = 30.0
_MOST = 4 << 20  # bytes of one file: more has no board
_FORGES = {
    "github:": "https://raw.githubusercontent.com/{owner}/{name}/{branch}/{path}",
    "gitlab:": "https://gitlab.com/{owner}/{name}/-/raw/{branch}/{path}",
}


class NotThere(ToolError):
    """Raised when there is no such file."""


class Fetcher:
    """Fetches what an address names; use it with `with`. Raises ToolError, NotThere."""

    def __init__(self) -> None:
        self._http = httpx.Client(
            timeout=_SECONDS, follow_redirects=True, headers={"User-Agent": "mqboard"}
        )

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def fetch(self, address: str) -> bytes:
        """Return what is at `address`: a URL, or a path of this machine."""
        if not is_url(address):
            return _read(Path(address))
        data = bytearray()
        try:
            with self._http.stream("GET", address) as response:
                if response.status_code in (404, 410):
                    raise NotThere(f"There is nothing at {address}.")
                if response.status_code != 200:
                    raise ToolError(f"{address} answers with status {response.status_code}.")
                for piece in response.iter_bytes():
                    data += piece
                    if len(data) > _MOST:
                        raise ToolError(f"{address} has more than {_MOST:,} B: no board takes it.")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ToolError(f"{address} cannot be fetched: {error or type(error).__name__}.") from (
                error
            )
        return bytes(data)


def is_url(text: str) -> bool:
    """Return whether `text` is an address on the web."""
    return text.startswith(("https://", "http://"))


def is_address(text: str) -> bool:
    """Return whether `text` says where a package is, and is not its name in the index."""
    return is_url(text) or text.startswith(tuple(_FORGES))


def expand(text: str, version: str = "") -> str:
    """Return the URL that `text` means: itself, or that of OWNER/NAME/PATH on github: and the like,
    on the branch or tag `version`, by default its main branch.
    """
    for forge, pattern in _FORGES.items():
        if text.startswith(forge):
            owner, _, rest = text.removeprefix(forge).partition("/")
            name, _, path = rest.partition("/")
            if not owner or not name:
                raise UsageError(f"{text} is no repository: write it like {forge}OWNER/NAME.")
            branch = version or "HEAD"
            address = pattern.format(owner=owner, name=name, path=path, branch=branch)
            return address.rstrip("/")
    return text


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotThere(f"There is no file {path}.") from error
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror}.") from error
