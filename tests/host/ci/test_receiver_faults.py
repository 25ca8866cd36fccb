"""Attacks the update receiver with hostile offers, blocks, commands; by chance, but repeatably."""

import functools

from ci.cuts import faults
from ci.cuts.faults import Attack
from ci.desk import Life
from mqwire import update as wire

CASES = 400


def test_no_attack_gets_a_wrong_byte_in_or_keeps_a_good_image_out(tmp_path):
    result = faults.attack(tmp_path, CASES, seed=5)
    assert result.cases == CASES
    assert not result.wrong, "\n".join(result.wrong)


# A check that cannot fail is a defect: receivers that are broken on purpose.


def wrongs(desk, monkeypatch, name, replacement) -> str:
    """Return what is found in 40 cases when the receiver's method `name` is replaced, or one of the
    writer that it makes, as "writer._needs".
    """
    begin = Life.__init__
    method = name.rpartition(".")[2]

    def begin_broken(life, *arguments):
        begin(life, *arguments)
        from mqboard.board import Board

        Board._make_way = lambda board: None  # else what is replaced is loaded anew
        if method != name:
            from mqboard.update.writer import SlotWriter

            setattr(SlotWriter, method, replacement)
            return
        from mqboard.commands import update as command

        make = command.make_receiver

        def make_broken(board):
            receiver = make(board)
            setattr(receiver, name, functools.partial(replacement, receiver))
            return receiver

        command.make_receiver = make_broken

    monkeypatch.setattr(Life, "__init__", begin_broken)
    return "\n".join(Attack(desk, seed=1).run(40).wrong)


def test_a_receiver_that_checks_no_block_is_found_out(desk, monkeypatch):
    assert "is taken for one of" in wrongs(desk, monkeypatch, "writer._block_is", lambda *_: True)


def test_a_receiver_that_raises_is_found_out(desk, monkeypatch):
    def raise_error(*_):
        raise IndexError("broken")

    assert "IndexError: broken" in wrongs(desk, monkeypatch, "writer._needs", raise_error)
    assert "IndexError: broken" in wrongs(desk, monkeypatch, "_check", raise_error)


def test_a_receiver_that_does_not_answer_is_found_out(desk, monkeypatch):
    async def say_nothing(*_):
        pass

    assert "is not answered" in wrongs(desk, monkeypatch, "update", say_nothing)


def test_a_receiver_that_keeps_a_finished_transfer_is_found_out(desk, monkeypatch):
    async def keep(receiver, outcome):
        receiver._fault = None
        receiver._phase = 2  # receiving
        receiver._writer.left = 1
        await receiver._request.reply(wire.pack_reply(outcome.code))

    assert "answered with code 20" in wrongs(desk, monkeypatch, "_finish", keep)
