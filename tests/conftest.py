"""Puts the on-board packages on the path of every test, and lets Ctrl-C reach what tests start.

Keys are made in a configuration folder of the tests' own: the user's is never touched.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "frozen"))

_CONFIG = tempfile.mkdtemp(prefix="mqboard-tests-")
atexit.register(shutil.rmtree, _CONFIG, ignore_errors=True)
os.environ["XDG_CONFIG_HOME"] = _CONFIG
for name in ("MQBOARD_SIGNING_KEY", "MQBOARD_PUBLIC_KEYS"):
    os.environ.pop(name, None)

# A run in the background, or under nohup, may have been told to ignore Ctrl-C or a hangup,
# and all its children would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def desk(tmp_path):
    """Give a blank board on the desk: the on-board code in this process (ci/desk)."""
    from ci.desk import open_desk  # only where it is wanted: it loads what builds need

    opened = open_desk(tmp_path / "desk.flash")
    yield opened
    opened.flash.close()


def pytest_collection_modifyitems(items):
    """Put the longest files first, then the other ones with real boards: none ends alone."""
    longest = ("test_chaos.py", "test_readme.py", "test_docker_builds.py", "test_build.py")

    def place(item):
        name = item.path.name
        if name in longest:
            return longest.index(name)
        return len(longest) + ("e2e" not in item.path.parts)

    items.sort(key=place)
