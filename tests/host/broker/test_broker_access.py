"""Tests the file of boards and operators: what it may say, and what is refused with which words."""

import pytest

from mqhost.broker.access import Access, Board, Operator
from mqhost.errors import UsageError

BROKER = '[broker]\nhost = "broker.lan"\n'


def parse(text, where="users.toml", **more):
    return Access.parse(text, where, **more)


def boards(*prefixes):
    return BROKER + "".join(f'[[boards]]\nprefix = "{prefix}"\n' for prefix in prefixes)


def test_a_board_needs_a_prefix_only():
    (board,) = parse(boards("farm/pump 1")).boards
    assert board == Board(name="farm-pump-1", login="certificate", prefix="farm/pump 1")


def test_names_are_made_of_letters_of_any_script():
    (board,) = parse(boards("küche/licht 1")).boards
    assert board.name == "küche-licht-1"


def test_an_operator_is_for_all_boards_unless_it_says_which():
    text = '[[operators]]\nname = "anna"\nroles = ["logs"]\n'
    (anna,) = parse(BROKER + text).operators
    assert anna == Operator(name="anna", roles=("logs",), prefixes=("#",))
    (anna,) = parse(BROKER + text + 'prefixes = ["farm/+"]\nlogin = "password"\n').operators
    assert (anna.prefixes, anna.login) == (("farm/+",), "password")


def test_hosts_of_the_command_line_go_before_those_of_the_file():
    site = parse(BROKER + 'names = ["b"]\n', hosts=("one", "two")).site
    assert site.all_names == ("one", "two", "broker.lan", "b")


def test_paths_are_found_from_where_the_file_is(tmp_path):
    (tmp_path / "common.json").write_text('{"networks": []}')
    more = 'board_config = "common.json"\nserver_cert = "/c"\nserver_key = "/k"\nserver_ca = "x"\n'
    path = tmp_path / "users.toml"
    path.write_text(BROKER + more)
    access = Access.load(path)
    assert access.common == {"networks": []}
    assert access.site.server_ca == str(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "users.toml is not TOML"),
        ("[brokers]", "unknown key brokers. Do you mean broker?"),
        ("", "host is missing"),
        ('[broker]\nhost = "a b"', "'a b' is neither a host's name nor an address"),
        ('[broker]\nhost = "*.lan"', "the name that it has itself"),
        ('[broker]\nhost = "127.0.0.1"', "that is the board itself"),
        (BROKER + "port = 8884", "each another one"),
        (BROKER + "psk_port = 8883", "each another one"),
        (
            BROKER + '[[operators]]\nname = "a"\nroles = ["repl"]\nlogin = "psk"',
            "mqboard itself logs in with certificate or password",
        ),
        (BROKER + 'port = "8883"', 'port is "8883", not a whole number'),
        (BROKER + "port = true", "port is true, not a whole number"),
        (BROKER + 'names = "x"', 'names is "x", not a list of texts'),
        (BROKER + 'server_cert = "/x"', "needs server_cert and server_key"),
        (BROKER + 'server_cert = "/x"\nserver_key = "/y"', "server_ca is missing"),
        (BROKER + 'folder = "mqboard"', "it must be a path from / on"),
        (BROKER + "websocket_port = 9001", "nobody has one"),
        (BROKER + "server_days = 0", "1 to 7300"),
        (BROKER + 'board_config = "nothing.json"', "nothing.json: cannot read"),
        (BROKER + '[boards]\nprefix = "x"', r"write each as \[\[boards\]\]"),
        (BROKER + '[[boards]]\nname = "x"', r"boards\[1\] \('x'\): prefix is missing"),
        (BROKER + '[[boards]]\nprefix = "x"\nlogn = "y"', "unknown key logn. Do you mean login?"),
        (BROKER + '[[boards]]\nprefix = "x"\nlogin = "y"', "it can be certificate, password, psk"),
        (BROKER + '[[boards]]\nprefix = "x"\nauth = 1', "auth is 1, not true or false"),
        (BROKER + '[[boards]]\nprefix = "😀"', "'' cannot be its user name"),
        (BROKER + '[[boards]]\nprefix = "x"\nname = "a/b"', "'a/b' cannot be its user name"),
        (BROKER + '[[boards]]\nprefix = "x"\nname = ".."', "'..' cannot be its user name"),
        (BROKER + '[[boards]]\nprefix = "x"\nname = "a:b"', "'a:b' cannot be its user name"),
        (boards("x" * 65), "up to 64 bytes"),
        (boards("a/+"), "prefix 'a/\\+': it has \\+ in it, a wildcard"),
        (boards("a", "a"), "is there twice"),
        (boards("a/b", "a-b"), "the name 'a-b' is there twice"),
        (boards("A", "a"), "the name 'a' is there twice"),
        (boards("Server"), "it is the broker's"),
        (boards("broker.lan"), "it is the broker's"),
        (boards("a/mqb/b"), "has a level mqb"),
        (boards(" a"), "begins with a space"),
        (boards("farm/pump", "farm"), r"the topics of farm \(farm/…\) include those of farm-pump"),
        (boards("a/b/c", "a-b", "a"), "it could command that board"),
        (BROKER + '[[operators]]\nname = "a"', "roles are missing: logs, update, repl"),
        (BROKER + '[[operators]]\nroles = ["logs"]', r"operators\[1\]: name is missing"),
        (BROKER + '[[operators]]\nname = "a"\nroles = ["root"]', "role 'root' is none of"),
        (
            BROKER + '[[operators]]\nname = "a"\nroles = ["logs"]\nprefixes = ["a#"]',
            "prefixes: 'a#' is no pattern",
        ),
        (BROKER + '[[operators]]\nname = "a"\nread = ["a/#/b"]', "is no topic, nor a filter"),
        (BROKER + '[[operators]]\nname = "a"\nread = [" a"]', "is no topic, nor a filter"),
        (BROKER + '[[operators]]\nname = "a"\nwrite = ["a\\nuser b"]', "U\\+000A"),
        (BROKER + 'extra = ["a\\nb"]', "cannot stand in a line of mosquitto.conf"),
        (BROKER + 'bind = "::1\\nallow_anonymous true"', "cannot stand in a line"),
        (BROKER + 'server_cert = "a"\nserver_key = "/b"\nserver_ca = "c"', "a path from / on"),
    ],
)
def test_what_could_not_work_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        parse(text)


def test_a_board_that_moves_may_have_both_prefixes_and_they_may_be_nested():
    (board,) = parse(boards("farm") + 'also = ["farm/pump"]\n').boards
    assert board.prefixes == ("farm", "farm/pump")
    with pytest.raises(UsageError, match="the prefix farm/pump is there twice"):
        parse(boards("farm/pump", "farm") + 'also = ["farm/pump"]\n')


def test_the_file_must_be_there_and_be_text(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Access.load(tmp_path / "users.toml")
    (tmp_path / "users.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="is not UTF-8"):
        Access.load(tmp_path / "users.toml")
