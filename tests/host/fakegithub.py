"""Serves the part of GitHub's API that is used, on loopback, with a store behind it.

As GitHub's, a download is a redirect to an address on another server, which is good for a while and
refuses a request that carries a token. `cut`, `broken` and so on make it misbehave.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-test"


class FakeGitHub:
    """A repository `owner/board` with runs, artifacts and a release; use as a context manager."""

    repository = "owner/board"

    def __init__(self):
        self.runs = {}  # number → facts
        self.artifacts = {}  # run → [artifact]
        self.assets = {}  # tag → [asset]
        self.blobs = {}  # path in the store → bytes
        self.requests = []  # (server, path, headers)
        self.answers = {}  # path of the API → [(status, headers)], given instead, one a request
        self.cut = []  # after how many bytes the store cuts its next answers; None: not
        self.ranges = True
        self.location = None  # where downloads redirect to instead
        self.private = False
        self._api = self._serve(self._answer_api)
        self._store = self._serve(self._answer_store)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in (self._api, self._store):
            server.shutdown()
            server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._api.server_port}"

    def add_run(self, number, head="owner/board", **facts):
        run = {"id": number, "status": "completed", "conclusion": "success", "event": "push"}
        run |= {"head_branch": "main", "head_sha": f"{number:040x}"}
        run["head_repository"] = {"full_name": head} if head else None
        self.runs[number] = run | facts
        self.artifacts[number] = []

    def add_artifact(self, run, number, name, data, **facts):
        self.blobs[f"/artifact/{number}"] = data
        self.artifacts[run].append(
            {"id": number, "name": name, "size_in_bytes": len(data), "expired": False} | facts
        )

    def add_asset(self, tag, number, name, data, **facts):
        self.blobs[f"/asset/{number}"] = data
        asset = {"id": number, "name": name, "size": len(data)} | facts
        self.assets.setdefault(tag, []).append(asset)

    def store_requests(self):
        return [headers for server, _, headers in self.requests if server == "store"]

    def _serve(self, answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                answer(self)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def _answer_api(self, handler):
        parts = urlsplit(handler.path)
        self.requests.append(("api", handler.path, dict(handler.headers)))
        token = handler.headers.get("Authorization", "")
        scripted = self.answers.get(parts.path)
        if scripted:
            status, headers = scripted.pop(0)
            self._send(handler, status, b'{"message": "as the test wants it"}', headers)
        elif token not in ("", f"Bearer {TOKEN}"):
            self._send(handler, 401, b'{"message": "Bad credentials"}')
        elif self.private and not token:
            self._send(handler, 404, b'{"message": "Not Found"}')
        else:
            self._route(handler, parts.path, parse_qs(parts.query), bool(token))

    def _route(self, handler, path, query, signed_in):
        root = f"/repos/{self.repository}"
        words = path.removeprefix(root).strip("/").split("/") if path.startswith(root) else ["?"]
        match words:
            case [""]:
                self._send_json(handler, {"default_branch": "main"})
            case ["actions", "workflows", "firmware.yml", "runs"]:
                self._send_json(handler, {"workflow_runs": self._wanted(query)})
            case ["actions", "runs", number] if int(number) in self.runs:
                self._send_json(handler, self.runs[int(number)])
            case ["actions", "runs", number, "artifacts"] if int(number) in self.runs:
                size, page = int(query["per_page"][0]), int(query["page"][0])
                items = self.artifacts[int(number)]
                part = items[(page - 1) * size : page * size]
                self._send_json(handler, {"total_count": len(items), "artifacts": part})
            case ["actions", "artifacts", number, "zip"] if not signed_in:
                self._send(handler, 401, b'{"message": "Requires authentication"}')
            case ["actions", "artifacts", number, "zip"] if f"/artifact/{number}" in self.blobs:
                self._redirect(handler, f"/artifact/{number}")
            case ["releases", "tags", tag] if tag in self.assets:
                self._send_json(handler, {"tag_name": tag, "assets": self.assets[tag]})
            case ["releases", "assets", number] if f"/asset/{number}" in self.blobs:
                assert handler.headers["Accept"] == "application/octet-stream"
                self._redirect(handler, f"/asset/{number}")
            case _:
                self._send(handler, 404, b'{"message": "Not Found"}')

    def _wanted(self, query):
        """Return the newest runs first, filtered as GitHub does."""
        runs = [
            run
            for number, run in sorted(self.runs.items(), reverse=True)
            if query["event"] == [run["event"]]
            and query["branch"] == [run["head_branch"]]
            and query["status"] == [run["conclusion"]]
        ]
        return runs[: int(query["per_page"][0])]

    def _redirect(self, handler, path):
        location = self.location or f"http://127.0.0.1:{self._store.server_port}{path}?sig=secret"
        self._send(handler, 302, b"", {"Location": location})

    def _answer_store(self, handler):
        path = urlsplit(handler.path).path
        self.requests.append(("store", handler.path, dict(handler.headers)))
        if "Authorization" in handler.headers:
            return self._send(handler, 400, b"<Error>InvalidAuthenticationInfo</Error>")
        data, status, headers = self.blobs[path], 200, {}
        wanted = handler.headers.get("Range")
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                return self._send(handler, 416, b"", {"Content-Range": f"bytes */{len(data)}"})
            headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            data, status = data[start:], 206
        self._send(handler, status, data, headers, self.cut.pop(0) if self.cut else None)

    def _send_json(self, handler, record):
        self._send(handler, 200, json.dumps(record).encode(), {"Content-Type": "application/json"})

    def _send(self, handler, status, data, headers=None, cut=None):
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data if cut is None else data[:cut])
        if cut is not None:
            handler.close_connection = True
