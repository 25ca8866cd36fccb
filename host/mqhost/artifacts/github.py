"""Finds and downloads what CI built, by the part of GitHub's REST API that this takes.

`GitHub.get` asks for JSON; `GitHub.download` brings a file, through the redirect to the store where
the file really lies. The token goes to the API and never to where that redirects to. A download
that is cut goes on where it stopped, now or in a later run: bytes gather in `<target>.part`, which
becomes the target once all are there and, where GitHub tells a digest, match it.

Sources: GitHub REST API documentation, version 2022-11-28: "REST API endpoints for GitHub Actions
artifacts", "… for release assets", "Rate limits for the REST API"; RFC 9110 §14 (ranges).
"""

import hashlib
import ipaddress
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from mqhost.artifacts.github_access import HOW_TO_GET_A_TOKEN
from mqhost.errors import ToolError, UsageError
from mqhost.progress import Progress, silent

JSON = "application/vnd.github+json"
BYTES = "application/octet-stream"
_VERSION = "2022-11-28"
_SECONDS = 30.0
_ATTEMPTS = 6
_PAUSE = 0.5  # seconds before the second attempt, doubled for each further one
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_LARGEST = 256 * 1024 * 1024  # bytes of a download
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


class GitHubError(ToolError):
    """Raised when GitHub cannot be reached, or does not have or give what was asked for."""


class NotFound(GitHubError):
    """Raised when there is no such thing, or the token may not see it."""


class Gone(GitHubError):
    """Raised when it was there and is not kept any more."""


class _Cut(Exception):
    """Raised when a transfer ended early; another attempt may go on with it."""


class GitHub:
    """The API at `api` with a `token` (empty: none); use it as a context manager.

    `pause` is in seconds: how long to wait before a second attempt.
    """

    def __init__(self, api: str, token: str = "", *, pause: float = _PAUSE) -> None:
        self._api = api.rstrip("/")
        self._token = token
        self._pause = pause
        _check_address(self._api)
        self._http = httpx.Client(timeout=_SECONDS, headers={"User-Agent": "mqboard"})

    def __enter__(self) -> "GitHub":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Return the JSON object at `path` (as /repos/…); raises GitHubError."""
        for attempt in range(_ATTEMPTS):
            self._wait(attempt)
            try:
                response = self._http.get(
                    self._api + path, params=query, headers=self._headers(self._api, JSON)
                )
            except httpx.HTTPError as error:
                problem: Exception = error
                continue
            if response.status_code < 500:
                return self._object(response, path)
            problem = _Cut(f"it answers {response.status_code}")
        raise GitHubError(self._unreachable(problem))

    def download(
        self,
        path: str,
        target: Path,
        *,
        accept: str = JSON,
        digest: str = "",
        size: int = 0,
        what: str = "downloading",
        progress: Progress = silent,
    ) -> None:
        """Bring the file at `path` to `target`, whole; raises GitHubError.

        `digest`: as sha256:<hex>, checked if it is of that kind. `size` in bytes, for `progress`.
        """
        part = target.with_name(target.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(_ATTEMPTS):
            self._wait(attempt)
            before = _length(part)
            try:
                self._transfer(path, accept, part, lambda done: progress(what, done, size))
            except (_Cut, httpx.HTTPError) as error:
                problem = error
                continue
            if _matches(part, digest):
                os.replace(part, target)
                return
            part.unlink()
            if not before:
                raise GitHubError(
                    f"What arrived is not what GitHub recorded ({digest[:23]}…). It was thrown "
                    "away; is a proxy changing it? Run the same command again."
                )
            problem = _Cut("what was left of an earlier download did not fit")
        raise GitHubError(
            f"The download failed {_ATTEMPTS} times: {_reason(problem)}. Run the same command "
            f"again: it goes on after the {_length(part):,} B that arrived."
        )

    def _transfer(self, path: str, accept: str, part: Path, report: Any) -> None:
        """Try once to append what is missing to `part`. Raises _Cut if it may be tried again."""
        have = _length(part)
        with self._open(self._api + path, accept, have) as response:
            if response.status_code == 416:  # there is nothing behind what we have: not this file
                part.unlink(missing_ok=True)
                raise _Cut("it could not be resumed")
            resumed = response.status_code == 206
            if resumed:
                place = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
                if not place or int(place[1]) != have:
                    part.unlink(missing_ok=True)
                    raise _Cut("it could not be resumed")
            done = have if resumed else 0
            with part.open("ab" if resumed else "wb") as file:
                report(done)
                # As they come: chunks of a given size would be gathered, and lost in a cut.
                for chunk in response.iter_raw():
                    file.write(chunk)
                    done += len(chunk)
                    if done > _LARGEST:
                        raise GitHubError(f"The file has more than {_LARGEST:,} B. Given up.")
                    report(done)

    @contextmanager
    def _open(self, url: str, accept: str, have: int) -> Iterator[httpx.Response]:
        """Give the response that has the bytes, after the redirects."""
        for _ in range(_MOST_REDIRECTS + 1):
            headers = self._headers(url, accept) | {"Accept-Encoding": "identity"}
            if have:
                headers["Range"] = f"bytes={have}-"
            with self._http.stream("GET", url, headers=headers) as response:
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    # A new request, made by us: only so is it certain what it carries.
                    url = _redirected(response)
                elif response.status_code in (200, 206, 416):
                    yield response
                    return
                else:
                    response.read()
                    if not self._is_api(url) or response.status_code >= 500:
                        # The store refuses when its address has grown old: a new one may do.
                        raise _Cut(f"{response.url.host} answers {response.status_code}")
                    self._refused(response, urlsplit(url).path)
        raise GitHubError("GitHub redirects the download in a circle. Try again later.")

    def _headers(self, url: str, accept: str) -> dict[str, str]:
        headers = {"Accept": accept}
        if self._is_api(url):
            headers["X-GitHub-Api-Version"] = _VERSION
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _is_api(self, url: str) -> bool:
        """Return whether `url` is on the API's own server: same scheme, host and port."""
        one, other = httpx.URL(url), httpx.URL(self._api)
        return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)

    def _object(self, response: httpx.Response, path: str) -> dict[str, Any]:
        """Return the JSON object of a good answer; raise the right error for any other."""
        if response.status_code != 200:
            self._refused(response, path)
        try:
            record = response.json()
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise GitHubError(
                f"{response.url.host} did not answer as GitHub's API does. Is a proxy or a login "
                "page in between?"
            )
        return record

    def _refused(self, response: httpx.Response, path: str) -> None:
        """Raise the error that says why the API answered `response`."""
        status, headers = response.status_code, response.headers
        limited = headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers
        if status == 429 or (status == 403 and limited):
            hint = "" if self._token else f" With a token you may ask more. {HOW_TO_GET_A_TOKEN}"
            raise GitHubError(f"GitHub's rate limit is used up. {_when(headers)}{hint}")
        if status == 401 and self._token:
            raise UsageError(
                f"GitHub does not accept the token: it is wrong or expired. {HOW_TO_GET_A_TOKEN}"
            )
        if status in (401, 403):
            having = "This token may not do that" if self._token else "That needs a token"
            raise UsageError(f"{having} ({path}). {HOW_TO_GET_A_TOKEN}")
        if status == 404:
            raise NotFound(f"GitHub has no {path}, or the token may not see it.")
        if status == 410:
            raise Gone(f"GitHub does not keep {path} any more.")
        raise GitHubError(f"GitHub answers {status} to {path}. Try again later.")

    def _wait(self, attempt: int) -> None:
        if attempt:
            time.sleep(self._pause * 2 ** (attempt - 1))

    def _unreachable(self, problem: Exception) -> str:
        host = urlsplit(self._api).hostname
        return f"{host} cannot be reached: {_reason(problem)}. Check the network, then try again."


def _check_address(url: str) -> None:
    """Raise UsageError for an API that a token would travel to in the clear."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return
    raise UsageError(f"GITHUB_API_URL is {url!r}; it must be an https:// address.")


def _redirected(response: httpx.Response) -> str:
    """Return where a redirect leads; GitHubError if from https to anything else."""
    url = response.url.join(response.headers["location"])
    if url.scheme != "https" and not (url.scheme == "http" and response.url.scheme == "http"):
        raise GitHubError(
            f"GitHub redirects the download to {url.scheme}://{url.host}, which is not encrypted. "
            "Not followed."
        )
    return str(url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _matches(path: Path, digest: str) -> bool:
    """Return whether the file has `digest`, sha256:<hex>; True for any other digest, or none."""
    kind, _, value = digest.partition(":")
    if kind != "sha256":
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == value.lower()


def _when(headers: httpx.Headers) -> str:
    """Say in a sentence from when on GitHub answers again."""
    now, until = time.time(), 0.0
    after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
    if after.isdecimal():
        until = now + int(after)
    elif reset.isdecimal():
        until = float(reset)
    if not now < until < now + 86400 * 7:
        return "Try again in a few minutes."
    clock = time.strftime("%H:%M", time.localtime(until))
    return f"Try again after {clock} (in {max(1, round((until - now) / 60))} min)."


def _reason(problem: Exception) -> str:
    """Say what went wrong, in one line; addresses with secrets in their query are not in it."""
    text = str(problem) or type(problem).__name__
    return text.splitlines()[0].rstrip(".")
