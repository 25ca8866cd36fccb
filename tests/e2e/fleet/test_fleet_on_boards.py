"""Tests `mqboard fleet` on three real simulated boards: chosen, asked and changed side by side."""

import json

import pytest

UPDATE = {"health_s": 0.5, "confirm_s": 10}
# Fine everywhere but at herd/south.
PUMP = """import asyncio
async def start(board, settings):
    if board.config.prefix.endswith("south"):
        raise ValueError("no pump here")
    while True:
        await asyncio.sleep(1)
"""


@pytest.fixture(scope="module")
def herd(make_shared_board):
    names = ("north", "south", "west")
    boards = [make_shared_board(prefix=f"herd/{name}", update=UPDATE) for name in names]
    for board in boards:
        board.wait_online()
        board.wait_settled()
    return boards


@pytest.fixture
def fleet(herd):
    """Give fleet(*arguments) -> (exit code, stdout, stderr)."""

    def run(*arguments):
        return herd[0].mqboard("fleet", *map(str, arguments))

    return run


def chosen(fleet, *arguments):
    code, out, err = fleet("list", *arguments, "--json")
    assert code in (0, 4), err
    return [board["prefix"] for board in json.loads(out or "[]")]


def test_conditions_are_over_what_boards_really_say(fleet, firmware):
    assert (
        len(chosen(fleet, "herd/+", "--where", f"board==sim and version=={firmware.version}")) == 3
    )
    assert chosen(fleet, "herd/+", "--where", "version<0.0.1 or mode==safe") == []
    ident = json.loads(fleet("info", "herd/south", "--json")[1])["herd/south"]["id"]
    assert chosen(fleet, "herd/#", "--where", f"id=='{ident}'") == ["herd/south"]
    code, out, err = fleet("eval", "board.config.prefix", "herd/+", "--where", f"id!='{ident}'")
    assert (code, err) == (0, "") and "'herd/west'" in out and "'herd/south'" not in out
    assert out.splitlines()[-1] == "2 boards: 2 ok, 0 failed, 0 offline."


def test_a_configuration_comes_to_each_and_its_own_stays(fleet, herd, tmp_path):
    common = tmp_path / "common.json"
    code, out, _ = herd[0].mqboard("config", "get", "--json")
    record = json.loads(out) | {"ntp": "127.0.0.1", "log": {"level": "debug"}}
    common.write_text(json.dumps(record | {"hostname": "all"}))
    code, out, err = fleet("config", "push", common, "herd/+", "--yes", "--json")
    assert code == 0, err
    for prefix, told in json.loads(out).items():
        assert told["confirmed"] and told["prefix"] == prefix
        assert {change["key"] for change in told["changed"]} == {"ntp", "log.level"}
    for board in herd:
        assert board.eval("board.config.ntp + board.config.prefix") == f"'127.0.0.1{board.prefix}'"
    code, out, err = fleet("config", "set", "log.level=debug", "herd/+", "--yes")
    assert (code, err) == (0, "") and out.count("has it so already.") == 3


def test_an_application_comes_to_those_where_it_runs(fleet, tmp_path):
    folder = tmp_path / "pumps"
    folder.mkdir()
    (folder / "pump.py").write_text(PUMP)
    (folder / "app.toml").write_text('version = "1"\n[modules.pump]\n')
    code, out, err = fleet("deploy", folder, "herd/+", "--yes")
    assert code == 1, out + err
    assert "herd/north runs pumps 1, confirmed" in out
    assert "herd/west runs pumps 1, confirmed" in out
    assert "failed: herd/south:" in out and "ValueError: no pump here" in out
    assert err.endswith("3 boards: 2 ok, 1 failed, 0 offline.\n")
    where = ("--where", "app.version==1 and app.state==confirmed")
    assert chosen(fleet, "herd/+", *where) == ["herd/north", "herd/west"]
    assert chosen(fleet, "herd/+", "--where", "app.failed.version==1") == ["herd/south"]
    code, out, err = fleet("deploy", folder, "herd/north", "herd/west", "--yes")
    assert (code, err) == (0, "") and out.count("runs pumps 1 already.") == 2
