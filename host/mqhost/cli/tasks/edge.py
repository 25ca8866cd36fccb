"""Ends an Invoke task as `mqboard` ends: an error for people is a sentence and an exit code."""

import functools
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from mqhost.cli.terminal import printing
from mqhost.errors import ToolError
from mqhost.files import unusable
from mqhost.interrupt import ended_like_ctrl_c


def edge(body: Callable) -> Callable:
    """Make `body` end with a sentence on stderr and its exit code where it raised a ToolError; with
    130 at Ctrl-C, SIGTERM and SIGHUP.
    """

    @functools.wraps(body)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            with ended_like_ctrl_c():
                return body(*arguments, **options)
        except ToolError as error:
            _end(body.__name__, error)
        except OSError as error:
            told = unusable(error)
            if told is None:
                raise
            _end(body.__name__, told)
        except KeyboardInterrupt:
            print(f"{body.__name__}: stopped", file=sys.stderr)
            sys.exit(130)

    return run


def _end(name: str, error: ToolError) -> NoReturn:
    print(printing.clean_lines(f"{name}: {error}"), file=sys.stderr)
    sys.exit(error.exit_code)
