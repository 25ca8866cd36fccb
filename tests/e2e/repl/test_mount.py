"""Tests `mqboard mount`: a board imports from a folder of this computer, as it is edited."""

import os
import signal

import pytest
from conftest import BIN
from terminal import Terminal
from waiting import wait_until

from mqhost.mount import Folder, Mount, serving
from mqhost.sim.broker import Broker

CTRL_C, CTRL_D = "\x03", "\x04"
KEY = "seven-lamps-on-a-mast"
MOUNTED = "'/remote' in __import__('sys').path or 'remote' in __import__('os').listdir('/')"


@pytest.fixture
def folder(tmp_path):
    """Give a folder with a package in it, that has submodules, and a module with an error."""
    made = tmp_path / "desk"
    (made / "lamp/parts").mkdir(parents=True)
    (made / "lamp/__init__.py").write_text("from lamp import bulb\nfrom lamp.parts import led\n")
    (made / "lamp/bulb.py").write_text("WATTS = 5\n")
    (made / "lamp/parts/__init__.py").write_text("")
    (made / "lamp/parts/led.py").write_text("COLOUR = 'grün'\n")
    (made / "broken.py").write_text("def fall():\n    return 1 // 0\n")
    return made


@pytest.fixture
def open_mount(tmp_path, folder):
    """Give open_mount(board) -> a Terminal in which `mqboard mount` has its prompt."""
    opened = []
    environment = {name: value for name, value in os.environ.items() if "MQBOARD" not in name}
    environment |= {"XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm"}

    def open_one(board):
        argv = [BIN / "mqboard", "--prefix", board.prefix, "--server", board.broker.host]
        terminal = Terminal([*argv, "--port", board.broker.port, "mount", folder], env=environment)
        opened.append(terminal)
        terminal.expect("\n>>>")
        return terminal

    yield open_one
    for terminal in opened:
        terminal.__exit__()


def leave(terminal, board, keys):
    """Leave the prompt, and wait until the board knows."""
    terminal.type(keys)
    assert terminal.ended() == 0
    is_free(board)


def is_free(board):
    """Wait until the board has nothing mounted any more."""
    wait_until(lambda: board.eval(MOUNTED) == "False", 20)


def test_a_package_with_submodules_is_imported(shared_board, folder):
    code = "import lamp; print(lamp.bulb.WATTS, lamp.parts.led.COLOUR, lamp.bulb.__file__)"
    result = shared_board.mqboard("mount", folder, "exec", code)
    assert result == (0, "5 grün /remote/lamp/bulb.py\n", "")
    is_free(shared_board)
    left = shared_board.eval("[name for name in __import__('sys').modules if 'lamp' in name]")
    assert left == "[]"


def test_what_was_edited_comes_after_ctrl_d_and_a_second_one_leaves(
    open_mount, shared_board, folder
):
    terminal = open_mount(shared_board)
    terminal.type("import lamp; here = lamp.bulb.WATTS; here\n")
    terminal.expect("\n5\n>>>")
    (folder / "lamp/bulb.py").write_text("WATTS = 7777\n")
    (folder / "late.py").write_text("print('late' + 'comer')\n")
    terminal.type("import late\n")  # not there before: no need to begin anew
    terminal.expect("\nlatecomer\n>>>")
    terminal.type(CTRL_D)
    terminal.expect("begins anew")
    terminal.type("'here' in globals(), __import__('lamp').bulb.WATTS\n")
    terminal.expect("\n(False, 7777)\n>>>")
    terminal.type(CTRL_D)
    terminal.expect("begins anew", count=2)
    assert terminal.process.poll() is None
    leave(terminal, shared_board, CTRL_D)


def test_a_traceback_names_file_and_line_and_a_missing_module_is_told(shared_board, folder):
    code, _, err = shared_board.mqboard("mount", folder, "exec", "import broken; broken.fall()")
    assert code == 1 and 'File "/remote/broken.py", line 2, in fall' in err
    code, _, err = shared_board.mqboard("mount", folder, "exec", "import lampe")
    assert code == 1 and "ImportError: no module named 'lampe'" in err
    is_free(shared_board)


def test_a_missing_module_is_known_without_asking(shared_board, folder):
    code = """
from mqboard.clock import ticks_ms, ticks_diff
start = ticks_ms()
for _ in range(200):
    try:
        import lampe
    except ImportError:
        pass
print(board.router.mounted._number, ticks_diff(ticks_ms(), start) < 5000)
"""
    assert shared_board.mqboard("mount", folder, "exec", code) == (0, "0 True\n", "")


def test_a_module_costs_one_round_trip(shared_board, folder):
    code = "import lamp; print(board.router.mounted._number)"
    assert shared_board.mqboard("mount", folder, "exec", code) == (0, "4\n", "")


def test_it_can_be_read_and_listed_but_not_written(shared_board, folder):
    (folder / "wörter.txt").write_text("eins\nzwei\n")
    code = """
import os
print(*sorted(os.listdir('/remote')), os.stat('/remote/wörter.txt')[6])
with open('/remote/wörter.txt') as file: print([line.strip() for line in file])
with open('/remote/wörter.txt', 'rb') as file: print(file.read(3), file.read())
os.chdir('/remote/lamp'); print(os.listdir(), open('bulb.py').read())
os.chdir('/')
for wrong in (lambda: open('/remote/a', 'w'), lambda: os.mkdir('/remote/b'),
              lambda: os.remove('/remote/broken.py'), lambda: open('/remote/none')):
    try:
        wrong()
    except OSError as error:
        print(error.errno)
"""
    _, out, err = shared_board.mqboard("mount", folder, "exec", code)
    assert (out, err) == (
        "broken.py lamp wörter.txt 10\n"
        "['eins', 'zwei']\n"
        "b'ein' b's\\nzwei\\n'\n"
        "['__init__.py', 'bulb.py', 'parts'] WATTS = 5\n\n"
        "30\n30\n30\n2\n",
        "",
    )


def test_what_lies_outside_is_not_served(shared_board, folder, tmp_path):
    (tmp_path / "secret.py").write_text("print('stolen')\n")
    (folder / "way_out.py").symlink_to(tmp_path / "secret.py")
    (folder / "within.py").symlink_to("lamp/bulb.py")
    code = """
import within; print(within.WATTS)
for path in ('/remote/way_out.py', '/remote/../secret.py', '/remote/lamp/../../secret.py'):
    try:
        print(open(path).read())
    except OSError as error:
        print(error.errno)
import way_out
"""
    code, out, err = shared_board.mqboard("mount", folder, "exec", code)
    assert (code, out) == (1, "5\n2\n2\n2\n") and "no module named 'way_out'" in err


def test_large_modules_and_unicode_names(shared_board, folder):
    text = "".join(f"# {n:05} {'x' * 90}\n" for n in range(1000)) + "END = 'reached'\n"
    (folder / "large.py").write_text(text)
    (folder / "größe.py").write_text("VALUE = '✓'\n")
    (folder / "empty.py").write_text("")
    code = "import empty, large, größe; print(large.END, größe.VALUE)"
    assert shared_board.mqboard("mount", folder, "exec", code) == (0, "reached ✓\n", "")


def test_mpy_is_compiled_on_the_way(shared_board, folder):
    (folder / "wrong.py").write_text("x = = 1\n")
    code = "import os; print(os.listdir('/remote/lamp/parts')); import broken; broken.fall()"
    _, out, err = shared_board.mqboard("mount", "--mpy", folder, "exec", code)
    assert out == "['__init__.mpy', 'led.mpy']\n"
    assert 'File "/remote/broken.py", line 2, in fall' in err
    _, _, err = shared_board.mqboard("mount", "--mpy", folder, "exec", "import wrong")
    assert 'File "/remote/wrong.py", line 1' in err and "SyntaxError" in err


def test_run_has_arguments_and_the_folder(shared_board, folder, tmp_path):
    program = tmp_path / "try.py"
    program.write_text("import sys, lamp\nprint(sys.argv, lamp.bulb.WATTS)\n")
    result = shared_board.mqboard("mount", folder, "run", program, "--fast", "2")
    assert result == (0, "['try.py', '--fast', '2'] 5\n", "")


def test_a_second_mount_is_told_who_has_it(open_mount, shared_board, folder):
    terminal = open_mount(shared_board)
    code, _, err = shared_board.mqboard("mount", folder, "exec", "1")
    assert code == 1 and "busy: " in err and "@" in err and "has /remote mounted (" in err
    ident = err.partition("mounted (")[2].partition(")")[0]
    assert shared_board.mqboard("cancel", ident)[0] == 0
    is_free(shared_board)
    terminal.type("import lamp; lamp.bulb.WATTS\n")  # it is mounted again when it is needed
    assert "it was unmounted" in terminal.expect("\n5\n>>>")
    leave(terminal, shared_board, CTRL_D + CTRL_D)


def test_one_that_cannot_be_mounted_again_is_tried_with_the_next_line(
    open_mount, shared_board, folder
):
    first = open_mount(shared_board)
    code, out, _ = shared_board.mqboard("cancel")  # the only thing that runs
    assert code == 0 and out == ""
    is_free(shared_board)
    second = open_mount(shared_board)
    first.type("import lamp; lamp.bulb.WATTS\n")
    first.expect("busy: ")
    leave(second, shared_board, CTRL_D)
    first.type("import lamp; lamp.bulb.WATTS\n")
    first.expect("\n5\n>>>")
    leave(first, shared_board, CTRL_D + CTRL_D)


def test_ctrl_c_ends_an_import_and_the_mount_stays(open_mount, shared_board, folder):
    (folder / "endless.py").write_text("print('beg' + 'un')\nwhile True: pass\n")
    terminal = open_mount(shared_board)
    terminal.type("import endless\n")
    terminal.expect("\nbegun")
    terminal.type(CTRL_C)
    assert 'File "/remote/endless.py", line 2' in terminal.expect("KeyboardInterrupt")
    terminal.type("import lamp; lamp.bulb.WATTS\n")
    terminal.expect("\n5\n>>>")
    terminal.type("import brok\t")
    terminal.expect("\n>>> import broken")
    terminal.type("\n")
    terminal.expect("\n>>> import broken\n>>>")
    leave(terminal, shared_board, CTRL_D + CTRL_D)


def test_a_host_that_is_killed_in_the_middle_of_an_import_is_noticed(shared_board, folder):
    boot = shared_board.eval("board.identity.boot_id")
    code = "import time; print('now'); time.sleep(1); import lamp"
    process = shared_board.command("mount", folder, "exec", code)
    try:
        assert process.stdout.readline() == "now\n"
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    is_free(shared_board)
    assert shared_board.eval("board.identity.boot_id") == boot


def test_a_board_that_restarts_has_it_mounted_again(open_mount, board):
    terminal = open_mount(board)
    assert board.mqboard("reset")[0] == 0
    terminal.expect("has restarted")
    terminal.type("import lamp; lamp.bulb.WATTS\n")
    assert "is mounted again" in terminal.expect("\n5\n>>>")


def test_it_works_in_safe_mode_and_with_tags(make_board, folder, tmp_path):
    made = make_board(auth={"key": KEY})
    made.wait_online()
    with made.session(auth_keys=(KEY,)) as session:
        wait_until(lambda: session.request("eval", b"board.settled").data == b"True", 30)
    file = tmp_path / "mqboard.toml"
    file.write_text(f'auth_key = "{KEY}"\n')
    file.chmod(0o600)
    assert made.mqboard("reset", "--safe", cwd=tmp_path)[0] == 0
    code = "import lamp; print(board.identity.mode, lamp.bulb.WATTS)"
    assert made.mqboard("mount", folder, "exec", code, cwd=tmp_path) == (0, "safe 5\n", "")


# The broker goes away, or the host.

NOW = "import time; print('no' + 'w'); time.sleep(3); import lamp"
# It stays loaded, as it is changed here.
LEASE = """if True:
    from mqboard import seldom
    from mqwire import mount
    seldom.MODULES = ()
    mount.LEASE_S = 4"""


@pytest.fixture
def own(make_board):
    """Give a board with a broker of its own."""
    with Broker() as broker:
        board = make_board(at=broker)
        board.wait_online()
        yield board


def wait_back(board, terminal):
    """Wait until the board is at its broker again, and `terminal` knows it."""
    board.wait_online()
    wait_until(lambda: terminal.screen.rstrip().endswith("free"), 20)


def test_it_outlives_a_broker_that_is_killed_and_restarted(open_mount, own):
    terminal = open_mount(own)
    own.broker.stop(hard=True)
    terminal.expect("no connection to the broker")
    own.broker.start()
    wait_back(own, terminal)
    terminal.type("import lamp; lamp.bulb.WATTS\n")
    assert "is mounted again" not in terminal.expect("\n5\n>>>")
    leave(terminal, own, CTRL_D + CTRL_D)


def test_a_broker_that_goes_in_the_middle_of_an_import_ends_it(open_mount, own):
    terminal = open_mount(own)
    terminal.type(NOW + "\n")
    terminal.expect("\nnow\n")
    own.broker.stop(hard=True)
    own.device.wait_console("no broker: ")
    own.broker.start()
    terminal.expect("OSError: 128")  # an ESP32 calls it ENOTCONN
    wait_back(own, terminal)
    terminal.type("import lamp; lamp.bulb.WATTS\n")
    assert "is mounted again" in terminal.expect("\n5\n>>>")
    assert len(own.device.boots) == 1
    leave(terminal, own, CTRL_D + CTRL_D)


def test_a_host_that_says_nothing_for_long_loses_it_and_has_it_again(open_mount, board):
    board.eval(LEASE)
    terminal = open_mount(board)  # it says that it is there every 10 s
    is_free(board)
    terminal.type("import lamp; lamp.bulb.WATTS\n")
    screen = terminal.expect("\n5\n>>>")
    assert "/remote was gone (the host said nothing for 4 s), and is mounted again." in screen
    leave(terminal, board, CTRL_D + CTRL_D)


def test_who_says_that_he_is_there_keeps_it_until_he_says_no_more(board, folder, monkeypatch):
    board.eval(LEASE)
    monkeypatch.setattr(serving, "_BEAT", 0.3)
    with board.session() as session, Mount(session, Folder(folder), "ana") as mount:
        since = int(board.eval("board.supervisor.seconds"))
        wait_until(lambda: int(board.eval("board.supervisor.seconds")) > since + 6)
        assert not mount.over and board.eval(MOUNTED) == "True"
        monkeypatch.setattr(serving, "_BEAT", 60)
        wait_until(lambda: mount.over == "the host said nothing for 4 s")
        assert board.eval(MOUNTED) == "False"
