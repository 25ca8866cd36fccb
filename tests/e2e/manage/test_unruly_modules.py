"""Tests modules that raise what ends programs: they are at fault, and the board goes on; Ctrl-C at
its console stops it all the same."""

import pytest
from waiting import wait_until

from mqhost.errors import SilentBoardError
from mqhost.manage.modules import list_modules

LOOP = """import asyncio
async def start(board, settings):
    while True:
        await asyncio.sleep(0.05)
        raise GeneratorExit
"""
# What it makes tasks of, and what the client calls for it, does not run in its own task.
TASKS = """import asyncio
async def stop(error):
    await asyncio.sleep(0.05)
    raise error
async def start(board, settings):
    asyncio.create_task(stop(SystemExit("from a task")))
    await asyncio.create_task(stop(KeyboardInterrupt("awaited")))
"""
HEARS = """def on_message(topic, payload, retained):
    raise KeyboardInterrupt("from a handler")
async def start(board, settings):
    topic = board.config.prefix + "/stop"
    await board.client.subscribe(topic, on_message)
    await board.client.up.wait()
    await board.client.publish(topic, b"now")
"""
SCRIPT = """import asyncio
async def stops():
    raise KeyboardInterrupt("from a script's task")
async def main():
    asyncio.create_task(stops())
    await asyncio.sleep(0.1)
    raise SystemExit
asyncio.run(main())
"""
BLOCKS = """import asyncio, time
async def start(board, settings):
    print("it blocks")
    while True:
        time.sleep(0.5)
        await asyncio.sleep(0)
"""
LOOPS = """import asyncio
async def main():
    print("it loops")
    while True:
        await asyncio.sleep(0.05)
asyncio.run(main())
"""
UNRULY = {
    "imports": "raise KeyboardInterrupt\n",
    "loop": LOOP,
    "main": SCRIPT,
    "starts": "async def start(board, settings):\n    raise KeyboardInterrupt\n",
    "tasks": TASKS,
}
WHERE = {
    "imports": 'KeyboardInterrupt, File "/imports.py", line 1, in <module>',
    "loop": 'GeneratorExit, File "/loop.py", line 5, in start',
    "main": 'SystemExit, File "/main.py", line 7, in main',
    "starts": 'KeyboardInterrupt, File "/starts.py", line 2, in start',
    "tasks": "KeyboardInterrupt('awaited',) in a task",
}


def test_a_module_that_raises_what_ends_programs_is_at_fault_and_the_board_stays(make_board):
    files = {f"/{name}.py": text.encode() for name, text in UNRULY.items()}
    board = make_board(files=files, modules={name: {} for name in UNRULY})
    boot = board.wait_online()["boot_id"]
    with board.session() as session:

        def restarted():
            found = {module.name: module for module in list_modules(session).modules}
            return all(module.restarts > 1 for module in found.values()) and found

        found = wait_until(restarted, 60)
        assert session.request_json("info")["boot_id"] == boot
    for name, where in WHERE.items():
        assert where in found[name].error
        assert found[name].crashes == 0
    text = board.device.console.text()
    assert "SystemExit: from a task" in text
    assert "MicroPython prompt" not in text


def test_a_handler_that_raises_it_costs_a_connection(make_board):
    board = make_board(files={"/hears.py": HEARS.encode()}, modules={"hears": {}})
    board.device.wait_console("KeyboardInterrupt: from a handler", 30)

    def answers():
        try:
            with board.session(timeout=2) as session:
                return session.request("eval", b"1+1").data == b"2"
        except SilentBoardError:
            return False

    wait_until(answers, 60)
    board.device.wait_console("task mqtt died")
    assert len(board.device.boots) == 1


@pytest.mark.parametrize(
    ("name", "text", "sign"),
    [
        ("blocks", BLOCKS, "it blocks"),
        ("main", LOOPS, "it loops"),
        ("starts", UNRULY["starts"], "task module starts: KeyboardInterrupt"),
    ],
)
def test_ctrl_c_at_the_console_stops_the_board_whatever_a_module_does(make_board, name, text, sign):
    board = make_board(files={f"/{name}.py": text.encode()}, modules={name: {}})
    board.device.wait_console(sign, 30)
    board.device.type(b"\x03")
    board.device.wait_console("\n>>> ")
    board.device.wait_console("this is the MicroPython prompt")
