"""Tests what a board makes of time in which something blocks it; on the desk, time is ours."""

import asyncio

import pytest

from ci.cuts.powercuts import Image, settled
from ci.desk import Life


@pytest.fixture
def desk(desk):
    """Give it an image to boot."""
    desk.flash.program(desk.table.slots[0].offset, Image.make(desk, "1.0", b"x" * 4096).app)
    return desk


def test_time_in_which_something_blocks_the_board_is_no_silence(desk):
    proofs = []

    async def script(life: Life) -> None:
        await settled(life)
        life.board._turn()
        for _ in range(100):
            desk.clock.now += 50  # as long as the watchdog allows
            life.board._turn()
        proofs.append(await life.board.reach.prove())

    assert not desk.run(script), desk.console.getvalue()
    assert (proofs, desk.faults) == ([True], [])


def test_a_board_that_hears_nothing_resets_after_its_time(desk):
    async def script(life: Life) -> None:
        await settled(life)
        life.router.on_message = lambda *_: None
        for _ in range(400):
            desk.clock.now += 1
            life.board._turn()

    assert desk.run(script)
    assert "resetting: unreachable for 301 s" in desk.console.getvalue()
    assert 300 <= desk.clock.now < 320


def test_a_proof_counts_only_the_time_in_which_the_board_runs(desk):
    """A command that blocks the loop while the ping is under way: it arrives, late."""
    proofs = []

    async def script(life: Life) -> None:
        await settled(life)
        on_message = life.router.on_message
        held = []
        life.router.on_message = lambda *message: held.append(message)

        async def block() -> None:
            desk.clock.now += 45
            on_message(*held.pop())

        blocker = asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(block()))
        proofs.append(await life.board.reach.prove())
        blocker.cancel()

    assert not desk.run(script), desk.console.getvalue()
    assert proofs == [True]
    assert "does not reach us" not in desk.console.getvalue()


def test_resets_of_an_unreachable_board_never_lead_to_safe_mode(desk):
    modes = []

    async def script(life: Life) -> None:
        modes.append(life.board.identity.mode)
        while True:
            await asyncio.sleep(1)
            life.board._turn()

    desk.connected = False
    for _ in range(4):
        begun = desk.clock.now
        assert desk.run(script)
        assert "resetting: unreachable for 3601 s" in desk.console.getvalue()
        assert 3600 <= desk.clock.now - begun < 3610
    assert (modes, desk.faults) == (["normal"] * 4, [])
