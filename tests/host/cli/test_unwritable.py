"""Tests that a folder that cannot be written is a sentence and an exit code, never a traceback."""

import pytest
from commandline import here

from mqhost.build.board import find
from mqhost.build.build import dry_run
from mqhost.build.builders.native import Listener, mute
from mqhost.cli.manage import info
from mqhost.cli.tasks.edge import edge
from mqhost.errors import UsageError
from mqhost.files import unusable, writing
from mqhost.paths import BUILD
from mqhost.progress import silent
from mqhost.testing import plugin


@pytest.fixture
def closed(tmp_path):
    """A folder in which nothing can be made, not even by root: it is a file."""
    (tmp_path / "closed").touch()
    return tmp_path / "closed" / "folder"


def test_a_cache_that_cannot_be_written(capsys, closed):
    ended = here(capsys, ["", "", "", "build", "--board", "sim"], MQBOARD_CACHE=str(closed))
    assert ended.returncode == 2
    assert f"{closed}/source cannot be written: Not a directory. See what {closed.parent} is" in (
        " ".join(ended.stderr.split())
    )
    assert "or set MQBOARD_CACHE to another folder" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_of_outputs_that_cannot_be_made(closed):
    listener = Listener(dry_run(find("sim")), closed / "build.log", silent, mute)
    with pytest.raises(UsageError, match=f"^{closed} cannot be written: Not a directory. See"):
        listener.__enter__()


def test_an_output_that_cannot_be_written_is_told_with_who_has_the_folder(tmp_path):
    error = PermissionError(13, "Permission denied", str(tmp_path / "provenance.json"))
    with pytest.raises(UsageError) as told, writing():
        raise error
    assert str(told.value) == (
        f"{tmp_path}/provenance.json cannot be written: Permission denied. See what {tmp_path} is, "
        "and whose (ls -ld; chown makes it yours), and run it again."
    )


def test_what_is_no_matter_of_a_file_is_not_taken_for_one():
    assert unusable(ConnectionResetError(104, "Connection reset by peer")) is None
    with pytest.raises(ConnectionResetError), writing():
        raise ConnectionResetError(104, "Connection reset by peer")


def test_every_command_task_and_test_ends_with_a_sentence(capsys, monkeypatch):
    def locked_out(*_, **__):
        raise PermissionError(13, "Permission denied", str(BUILD / "x"))

    wanted = f"{BUILD}/x cannot be used: Permission denied."
    monkeypatch.setattr(info.status_command, "callback", locked_out)
    ended = here(capsys, ["", "", "", "status"])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert wanted in ended.stderr
    with pytest.raises(SystemExit) as left:
        edge(locked_out)()
    assert left.value.code == 2
    assert f"locked_out: {wanted}" in capsys.readouterr().err
    with (
        pytest.raises(pytest.fail.Exception, match="x cannot be used") as failed,
        plugin._sentences(),
    ):
        locked_out()
    assert not failed.value.pytrace
