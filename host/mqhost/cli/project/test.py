"""Defines `mqboard test`: the tests of a project, by pytest."""

import subprocess
import sys
from importlib.util import find_spec

import click

from mqhost.errors import ToolError

# Of pytest's exit codes those that are not a failure: Ctrl-C, and a line that it does not take.
_CODES = {0: 0, 2: 130, 4: 2}
_FAILED = 1


@click.command("test", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST'S WORDS]...")
@click.pass_context
def test_command(context: click.Context, words: tuple[str, ...]) -> None:
    """Run the tests of the project, with pytest and what else it is told.

    \b
    Examples:
      mqboard test
      mqboard test -x -k counts
    """
    from mqhost.project.model import need_project

    root = need_project("mqboard test").root
    if find_spec("pytest") is None:
        raise ToolError(
            "The tests of a project are pytest's, and that is not installed here: "
            f"{sys.executable} -m pip install -r {root / 'requirements.txt'}"
        )
    ended = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=root, check=False)
    context.exit(_CODES.get(ended.returncode, _FAILED))
