"""Defines the Invoke tasks for work on MQBoard itself; tasks.py has them among the others."""

import functools
import os
import subprocess
import sys
from pathlib import Path

from invoke import task
from rich.console import Console

from ci import bench as bench_
from ci import docs as docs_
from ci.docs import pictures
from ci.docs import screens as screens_
from mqhost import packages
from mqhost.build import board as boards_
from mqhost.build.sources.source import CHECKOUT, VARIABLE, find_source
from mqhost.cli.tasks import show
from mqhost.cli.tasks.edge import edge
from mqhost.cli.terminal import printing
from mqhost.fleet.page import vendored
from mqhost.paths import ROOT

out = Console(highlight=False, soft_wrap=True)
say = functools.partial(printing.say, out)


@task(help={"micropython": "the simulated board's: a checkout, or a release as v1.28.0"})
@edge
def test(_, micropython=None):
    """Run all tests, four files at a time; or with what follows --, as in: test -- -k board.

    Examples:
      ./invoke test
      ./invoke test --micropython v1.28.0
      ./invoke test -- -k board
    """
    packages.ensure("test", say=say)
    # Not the context's remainder: it is one text, without the quotes there were.
    extra = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    # They wait more than they compute. In the order that tests/conftest.py gives them.
    extra = extra or ["-n", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
    # They start hundreds of programs in Python: each would compile all that it imports.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    if micropython:
        with show.progress() as progress:
            source = find_source(boards_.find("sim"), micropython, progress)
        # A folder is absolute, as the tests build in others: by its name it is a release.
        own = source.origin == CHECKOUT
        environment[VARIABLE] = str(source.path) if own else micropython
    argv = [sys.executable, "-m", "pytest", *extra]
    sys.exit(subprocess.run(argv, cwd=ROOT, env=environment).returncode)


@task(
    help={
        "only": f"the groups to measure, as in build,eval; there are {', '.join(bench_.GROUPS)}",
        "quick": "fewer runs; what then is only a part is not judged",
        "power_cuts": "only power cuts: all there are, or so many",
        "json": "print JSON instead of the table",
    }
)
@edge
def bench(_, only=None, quick=False, power_cuts=None, json=False):
    """Measure how fast and how small everything is; also into build/bench.json.

    Examples:
      ./invoke bench --only eval,idle --quick
      ./invoke bench --power-cuts all
    """
    bench_.run(only, quick, out, power_cuts, as_json=json)


@task
@edge
def docs(_):
    """Write docs/cli.md and docs/api.md anew, out of what commands, tasks and the API say.

    Examples:
      ./invoke docs
    """
    say(docs_.write())


@task(help={"output": "the folder for the pictures; docs/images by default"})
@edge
def screens(_, output=None):
    """Make the pictures of the main commands anew, on simulated boards, where they have changed.

    Examples:
      ./invoke screens
    """
    screens_.write(Path(output) if output else screens_.IMAGES, say=say)


@task(help={"output": "the folder for the pictures; docs/pictures by default"})
@edge
def screenshots(_, output=None):
    """Make the pictures of the page of the fleet anew, in a browser, where they have changed.

    Examples:
      ./invoke screenshots
    """
    pictures.write(Path(output) if output else pictures.PICTURES, say=say)


@task
@edge
def page(_):
    """Bring what the page of the fleet is made with: once; it is also done by what needs it.

    Examples:
      ./invoke page
    """
    vendored.ensure(say=say)
    say(f"It is in {vendored.FOLDER.relative_to(ROOT)}.")
