"""Tests ./invoke: it makes .venv when it must, only then, and hands everything else to Invoke.

The script is the real one, in a folder of its own; python and pip are stand-ins that note their
calls, so that no test needs a package index.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from mqhost.paths import ROOT

# Answers version questions with yes; "-m venv" makes a .venv whose python notes pip's calls.
PYTHON = """#!/bin/sh
case "$1" in
-c) exec python3 "$@" ;;
-m) mkdir -p "$3/bin" && cp "$3/../pip-stub" "$3/bin/python" && echo venv >>"$3/../calls" ;;
esac
"""
PIP = """#!/bin/sh
cd "$(dirname "$0")/../.."
echo "pip" >>calls
echo "WARNING: about something" >&2
[ -e no-network ] && { echo "ERROR: no route to the index" >&2; exit 1; }
cp invoke-stub .venv/bin/invoke
"""
INVOKE = """#!/bin/sh
pwd
for argument in "$@"; do echo "[$argument]"; done
exit 7
"""


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "a project"
    folder.mkdir()
    shutil.copy(ROOT / "invoke", folder / "invoke")
    (folder / "pyproject.toml").write_text("[project]\n")
    stubs = {"python-stub": PYTHON, "pip-stub": PIP, "invoke-stub": INVOKE}
    for name, text in stubs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def invoke(project: Path, *arguments: str, cwd: Path | None = None, python: str = "python-stub"):
    return subprocess.run(
        [project / "invoke", *arguments],
        cwd=cwd or project,
        env={"PATH": "/usr/bin:/bin", "MQBOARD_PYTHON": str(project / python)},
        capture_output=True,
        text=True,
    )


def calls(project: Path) -> list[str]:
    return (project / "calls").read_text().split()


def test_the_first_run_makes_the_venv_and_says_so_in_one_line(project):
    result = invoke(project, "build", "--board", "a b")
    assert result.returncode == 7
    expected = [str(project), "[--search-root]", f"[{project}]", "[build]", "[--board]", "[a b]"]
    assert result.stdout.splitlines() == expected
    (line,) = result.stderr.splitlines()
    assert "making .venv" in line
    assert calls(project) == ["venv", "pip"]


def test_later_runs_use_it_silently(project):
    invoke(project)
    result = invoke(project)
    assert result.stderr == ""
    assert calls(project) == ["venv", "pip"]


def test_it_works_from_any_folder_and_through_a_link(project, tmp_path):
    """And stays there, so that a relative path given to a task means what the user means."""
    (tmp_path / "link").symlink_to(project / "invoke")
    invoke(project)
    result = subprocess.run([tmp_path / "link"], cwd="/usr", capture_output=True, text=True)
    assert result.stdout.splitlines() == ["/usr", "[--search-root]", f"[{project}]"]
    assert calls(project) == ["venv", "pip"]


def test_changed_dependencies_make_it_again(project):
    invoke(project)
    (project / "pyproject.toml").write_text("[project]\n# changed\n")
    invoke(project)
    assert calls(project) == ["venv", "pip"] * 2


def test_a_moved_project_makes_it_again(project, tmp_path):
    invoke(project)
    moved = project.rename(tmp_path / "moved")
    assert invoke(moved).returncode == 7
    assert calls(moved) == ["venv", "pip"] * 2


def test_a_failed_first_run_is_done_again(project):
    (project / "no-network").touch()
    result = invoke(project)
    assert result.returncode == 2
    assert "no route to the index" in result.stderr
    assert "Check the network, then run it again" in result.stderr
    (project / "no-network").unlink()
    assert invoke(project).returncode == 7


def test_a_first_run_that_was_killed_is_done_again(project):
    invoke(project)
    (project / ".venv" / "mqboard-stamp").unlink()  # what is written last
    assert invoke(project).returncode == 7
    assert calls(project) == ["venv", "pip"] * 2


@pytest.fixture
def foreign(project):
    """Make the project with another user's .venv; give a function that runs ./invoke there."""
    with tempfile.TemporaryDirectory() as place:  # pytest's own is closed to others
        Path(place).chmod(0o755)
        folder = Path(shutil.move(project, place))
        invoke(folder)
        subprocess.run(["chmod", "-R", "a+rX,a-w", folder], check=True)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        nobody = nobody if os.geteuid() == 0 else []

        def change(path, text):
            path.chmod(0o755)
            path.write_text(text)
            path.chmod(0o555)

        def run():
            return subprocess.run(
                [*nobody, folder / "invoke"],
                env={"PATH": "/usr/bin:/bin", "MQBOARD_PYTHON": str(folder / "python-stub")},
                capture_output=True,
                text=True,
            )

        run.folder, run.change = folder, change
        yield run
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)


def test_another_users_venv_is_used(foreign):
    result = foreign()
    assert (result.returncode, result.stderr) == (7, "")


def test_another_users_venv_for_another_pyproject_is_used_if_it_works(foreign):
    foreign.change(foreign.folder / "pyproject.toml", "[project]\n# changed\n")
    foreign.change(foreign.folder / ".venv" / "bin" / "python", "#!/bin/sh\nexit 0\n")
    result = foreign()
    (line,) = result.stderr.splitlines()
    assert result.returncode == 7
    assert "only its owner can renew it" in line
    assert calls(foreign.folder) == ["venv", "pip"]


def test_one_that_does_not_work_is_one_sentence(foreign):
    foreign.change(foreign.folder / "pyproject.toml", "[project]\n# changed\n")
    foreign.change(foreign.folder / ".venv" / "bin" / "python", "#!/bin/sh\nexit 1\n")
    result = foreign()
    (line,) = result.stderr.splitlines()
    assert result.returncode == 2
    assert "this user may not make" in line
    assert (foreign.folder / ".venv" / "bin" / "invoke").exists()


def test_two_first_runs_at_once_make_it_once(project):
    argv = [project / "invoke"]
    environment = {"PATH": "/usr/bin:/bin", "MQBOARD_PYTHON": str(project / "python-stub")}
    runs = [subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [run.wait(30) for run in runs] == [7, 7, 7]
    assert calls(project) == ["venv", "pip"]


def test_the_script_is_clean_posix_sh():
    assert subprocess.run(["dash", "-n", ROOT / "invoke"]).returncode == 0
    assert (ROOT / "invoke").stat().st_mode & 0o111
