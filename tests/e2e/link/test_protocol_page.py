"""Tests that docs/protocol.md tells enough: a client that was written from it alone does it all."""

import json
import random
import re

import pytest
from hostclient import HostClient
from pageclient import PageClient, Refused

from mqhost.paths import ROOT
from mqhost.signing.keys import find_signing_key

CODE = "for number in range(300): print('number', number)\nnumber"


@pytest.fixture(scope="module")
def board(make_shared_board):
    made = make_shared_board(update={"health_s": 0.5})
    made.wait_confirmed()
    return made


@pytest.fixture
def client(board):
    with PageClient(board.broker.host, board.broker.port, board.prefix) as opened:
        yield opened


def test_a_question_and_an_error(client):
    assert client.ask("eval", b"45 + 876") == b"921"
    with pytest.raises(Refused, match="ZeroDivisionError"):
        client.ask("eval", b"1 / 0")
    with pytest.raises(Refused, match="Command 'fly' not supported"):
        client.ask("fly")


def test_a_body_of_several_messages_and_an_answer_of_many(client):
    text = "x" * 9000
    assert client.ask("eval", f"len('{text}')".encode()) == b"9000"
    assert client.ask("eval", b"print('y' * 20000)") == b"y" * 20000 + b"\n"


def test_the_bytes_that_the_page_shows(board):
    page = (ROOT / "docs" / "protocol.md").read_text()
    lines = [
        re.search(rf"^{word} +esp32/test/(\S+) +((?:[0-9A-F]{{2}} )+)", page, re.MULTILINE)
        for word in ("publish", "receive")
    ]
    (command, sent), (answer, received) = [(line[1], bytes.fromhex(line[2])) for line in lines]
    with HostClient(board.broker.port, f"{board.prefix}/mqb/reply/#") as wire:
        wire.publish(f"{board.prefix}/{command}", sent)
        assert wire.wait(f"{board.prefix}/{answer}") == [received]


def test_a_board_with_a_key(make_board):
    board = make_board(auth={"key": "schlüssel für alle"})
    board.wait_online()
    where = board.broker.host, board.broker.port, board.prefix
    with PageClient(*where) as stranger, pytest.raises(Refused, match="it has no tag"):
        stranger.ask("ping")
    with PageClient(*where, key="schlüssel für alle".encode()) as client:
        assert client.ask("ping") == b"OK"
        assert client.ask("eval", f"len('{'x' * 9000}')".encode()) == b"9000"


def test_files_there_and_back(client):
    data = random.Random(1).randbytes(100_000)
    client.files("mkdir", paths=["page"])
    assert client.put("/page/big.bin", data) == 0
    assert client.get("page/big.bin") == data
    client.put("page/small.txt", b"hello")
    client.put("page/empty", b"")
    found, end = client.files("ls", path="page")
    assert sorted(found) == [["big.bin", 100_000], ["empty", 0], ["small.txt", 5]]
    assert end == {"done": 3}
    client.files("rm", paths=["page"], recursive=True)
    with pytest.raises(Refused, match="ENOENT"):
        client.files("ls", path="page")


def test_a_put_that_was_broken_off_is_gone_on_with(board, client):
    data = random.Random(2).randbytes(120_000)
    with PageClient(board.broker.host, board.broker.port, board.prefix) as first:
        first.put("/later.bin", data, stop_after=12)
    assert client.put("/later.bin", data) > 0
    assert client.get("/later.bin") == data


def test_code_with_credit(client):
    *output, end = client.run(CODE, credit=2000, show=True)
    lines = b"".join(output).decode().split()
    assert lines[-1] == "299" and lines.count("number") == 300
    assert "error" not in end and "dropped" not in end
    *_, end = client.run("1 / 0")
    assert "ZeroDivisionError" in end["error"]


def parts_of(built):
    names = ("app.bin", "image.json", "image.sig")
    return [(built.folder / name).read_bytes() for name in names]


def test_an_application_and_one_that_fails(client):
    key = find_signing_key()
    app = {"light.py": b"import lib.rules\n\nasync def start(board, settings):\n    print('on')\n"}
    app |= {"lib/rules.py": b"LIMIT = 1\n", "lib-table.csv": b"1,2\n" * 3000}
    named = {"modules": {"light": {}}, "key": key.public.id, "sign": key.sign}
    told = client.deploy("page", "1.0", app, **named)
    assert (told["name"], told["version"]) == ("page", "1.0")
    with pytest.raises(Refused, match="sign"):
        client.deploy("page", "1.2", app, {"light": {}})
    app["lib/rules.py"] = b"LIMIT = 1 / 0\n"
    with pytest.raises(Refused, match="ZeroDivisionError"):
        client.deploy("page", "1.1", app, **named)
    assert json.loads(client.ask("apps", b"{}"))["now"]["version"] == "1.0"


def test_an_update_with_lost_messages_and_one_of_differences(board, variant):
    image, offer, signature = parts_of(variant("6.5"))
    where = board.broker.host, board.broker.port, board.prefix
    with PageClient(*where, lose=lambda number: number in (3, 10, 11)) as client:
        status = client.update(image, offer, signature)
        assert client.lost == 3
        assert (status["version"], status["slot"]) == ("6.5", "ota_1")
        with pytest.raises(Refused, match=r"^2: "):
            client.update(image, offer, signature)
        with pytest.raises(Refused, match=r"^16: |^22: "):
            client.update(image, offer, signature[:-1] + bytes([signature[-1] ^ 1]))
    newer, offer, signature = parts_of(variant("6.6"))
    with PageClient(*where) as client:
        assert client.update(newer, offer, signature, base=image)["version"] == "6.6"
        assert 0 < client.sent < len(newer) / 20
