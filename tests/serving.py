"""Serves a fleet at a free port of the loopback, in this process, for tests."""

import contextlib
import threading

import httpx
from argon2 import PasswordHasher
from waiting import wait_until

from mqhost.fleet.server.door.access import Access
from mqhost.fleet.server.door.attempts import Attempts
from mqhost.fleet.server.door.users import Users
from mqhost.fleet.server.fleet import Fleet, Options
from mqhost.fleet.server.serve import Server
from mqhost.fleet.store.accounts import Accounts
from mqhost.fleet.store.store import Store
from mqhost.link.settings import Settings
from mqhost.sim.broker import free_port


class Served:
    """A fleet of the boards at `broker`, with its state at `place`, while the `with` block runs.

    `access` is what Access.parse takes besides where to listen, `options` what Options has.
    """

    def __init__(self, broker, place, access=None, **options):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = Settings(server=broker.host, port=broker.port, timeout=20)
        self._access = Access.parse(f"127.0.0.1:{self.port}", **(access or {}))
        self._place = str(place)
        self._options = {"rate": 1e-4} | options  # boards are not asked by themselves
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.store = stack.enter_context(Store(self._place))
            options = Options(access=self._access, **self._options)
            self.fleet = stack.enter_context(Fleet(self.settings, self.store, options))
            cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
            self.fleet.users = Users(Accounts(self.store.database), cheap)
            self.fleet.doorkeeper.users = self.fleet.users
            server = Server(self.fleet)
            thread = threading.Thread(target=server.run)
            thread.start()
            stack.callback(thread.join, 20)
            stack.callback(server.stop)
            wait_until(lambda: server.started or not thread.is_alive())
            assert server.started, "the web server did not start"
            self.http = stack.enter_context(self.client())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def client(self, **options):
        """Return a client of its own: cookies are kept in it."""
        return httpx.Client(base_url=self.url, timeout=30, **options)

    def login(self, user, password):
        """Return a client that is logged in, as a browser that sends the page's token."""
        client = self.client()
        answer = client.post("/login", data={"user": user, "password": password})
        assert answer.status_code == 303 and "wrong" not in answer.headers["location"], answer.text
        return client

    def without_users(self):
        """Remove all users, and forget who guessed."""
        for account in self.fleet.users.all():
            self.fleet.users.remove(account.name)
        self.fleet.attempts = Attempts()
        self.http.cookies.clear()

    def board(self, prefix):
        """Wait until the board is known; return how it is."""
        return wait_until(lambda: self.fleet.live.get(prefix), 20, f"{prefix} is not known")
