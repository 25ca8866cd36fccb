"""Tests mqboard.toml: where it is looked for, what has names in it, and what is refused."""

import os
from pathlib import Path

import pytest

from mqhost.errors import UsageError
from mqhost.link.settings import Settings
from mqhost.paths import config_dir

FARM = """
[brokers.farm]
server = "mqtts://farm.example:8884"
username = "me"
ca = "farm.pem"

[boards.pump]
prefix = "farm/pump"
broker = "farm"
id = "a1"

[boards.lamp]
prefix = "home/lamp"

[groups.field]
boards = ["pump", "farm/+/valve"]
"""


@pytest.fixture
def own(monkeypatch, tmp_path_factory):
    """Give the user's own mqboard.toml, which is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    config_dir().mkdir()
    return config_dir() / "mqboard.toml"


@pytest.fixture
def resolve(own, tmp_path):
    """Give resolve(project's file, options, user's file, variables) -> Settings."""

    def run(toml="", options=None, user=None, warn=lambda line: None, **environment):
        if toml:
            (tmp_path / "mqboard.toml").write_text(toml)
        if user:
            own.write_text(user)
        return Settings.resolve(options, environment=environment, folder=tmp_path, warn=warn)

    return run


def test_the_nearest_file_above_counts(own, tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "mqboard.toml").write_text('prefix = "far"')
    assert Settings.resolve(environment={}, folder=below).prefix == "far"
    (tmp_path / "a" / "mqboard.toml").write_text('prefix = "near"')
    assert Settings.resolve(environment={}, folder=below).prefix == "near"


def test_a_file_above_that_another_user_has_put_there_is_not_read(own, tmp_path, monkeypatch):
    below = tmp_path / "a"
    below.mkdir()
    (tmp_path / "mqboard.toml").write_text('server = "evil"')
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    monkeypatch.setattr("mqhost.paths._ROOT_USER", -1)
    told = []
    found = Settings.resolve(environment={}, folder=below, warn=told.append)
    assert found.server == "127.0.0.1"
    (line,) = told
    assert line.startswith(f"{tmp_path}/mqboard.toml is another user's, and not read.")
    assert Settings.resolve(environment={}, folder=tmp_path, warn=told.append).server == "evil"


def test_without_a_project_the_users_own_file_counts(resolve):
    assert resolve(user='prefix = "own"').prefix == "own"


def test_the_projects_file_lies_over_the_users_own(resolve):
    found = resolve('prefix = "p"', user='prefix = "own"\nserver = "s"\ntimeout = 3')
    assert (found.prefix, found.server, found.timeout) == ("p", "s", 3)


def test_what_one_file_says_of_a_broker_is_not_mixed_with_another(resolve):
    user = 'server = "own"\nusername = "me"\npassword = "s3cret"'
    found = resolve('server = "elsewhere"', user=user)
    assert (found.server, found.username, found.password) == ("elsewhere", "", "")


def test_a_board_has_a_name_and_its_broker(resolve, tmp_path):
    found = resolve(FARM, {"to": "pump"}, MQBOARD_SERVER="elsewhere", MQBOARD_PREFIX="other")
    assert (found.prefix, found.id, found.server, found.port) == (
        "farm/pump",
        "a1",
        "farm.example",
        8884,
    )
    assert found.tls is True and found.ca == str(tmp_path / "farm.pem")


def test_a_board_without_a_broker_is_at_the_usual_one(resolve):
    assert resolve(FARM, MQBOARD_TO="lamp", MQBOARD_SERVER="usual").server == "usual"
    assert resolve('broker = "farm"\n' + FARM, {"to": "lamp"}).server == "farm.example"


def test_a_prefix_given_sooner_beats_a_name_given_later(resolve):
    found = resolve('to = "pump"\n' + FARM, {"prefix": "x"})
    assert (found.prefix, found.id) == ("x", "")


def test_two_boards_from_one_source_are_refused(resolve):
    with pytest.raises(UsageError, match="prefix and to in the options"):
        resolve(FARM, {"to": "pump", "prefix": "x"})


def test_a_group_has_boards_and_patterns(resolve):
    found = resolve(FARM, {"group": "field"})
    assert found.many == ("farm/pump", "farm/+/valve") and found.server == "farm.example"
    with pytest.raises(UsageError, match="farm/pump, farm/\\+/valve can be many boards"):
        found.need_prefix()


def test_a_group_of_several_brokers_is_refused(resolve):
    toml = FARM + '[brokers.b]\nserver="b"\n[boards.b]\nprefix="b"\nbroker="b"\n'
    toml += '[groups.all]\nboards=["b", "pump"]\n[groups.one]\nboards=["b", "pump"]\nbroker="b"\n'
    with pytest.raises(UsageError, match="several brokers: b, farm"):
        resolve(toml, {"group": "all"})
    assert resolve(toml, {"group": "one"}).server == "b"


def test_a_pattern_as_a_prefix_means_many(resolve):
    assert resolve(options={"prefix": "esp32/+"}).many == ("esp32/+",)
    assert resolve(options={"prefix": "#"}).many == ("#",)
    with pytest.raises(UsageError, match="a wildcard of MQTT"):
        resolve(options={"prefix": "esp32/a+"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "pmup"}, "No board is named pmup: there is lamp, pump. Did you mean pump?"),
        ({"broker": "fram"}, "No broker is named fram: there is farm. Did you mean farm?"),
        ({"group": "x"}, "No group is named x: there is field."),
    ],
)
def test_a_name_that_nobody_has_is_told_with_those_there_are(resolve, options, message):
    with pytest.raises(UsageError) as error:
        resolve(FARM, options)
    assert str(error.value) == message


def test_a_name_without_any_file_says_where_one_may_be(resolve, tmp_path):
    with pytest.raises(UsageError, match="there is no mqboard.toml in .*, above it, or in"):
        resolve(options={"to": "pump"})
    with pytest.raises(UsageError, match=r"there is no \[boards.…\] in .*mqboard.toml"):
        resolve("timeout = 1", {"to": "pump"})


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[broker.x]", r"mqboard.toml: broker is \{.*wrong type. Did you mean brokers\?"),
        ("[brokres.x]", r"mqboard.toml: unknown key brokres. .* Did you mean brokers\?"),
        ("brokers = 1", r"brokers holds tables, each with a name: \[brokers.NAME\]"),
        ("[brokers]\nx = 1", r"\[brokers.NAME\]"),
        ("[brokers.x]\nprot = 1", r"\[brokers.x\] unknown key prot.*Did you mean port\?"),
        ("[brokers.x]\nport = '1'", r"\[brokers.x\] port is '1', which is of the wrong type"),
        ("[boards.x]\nid = 'a'", r"\[boards.x\] has no prefix"),
        ("[boards.x]\nprefix = 'a'\nserver = 'b'", r"\[boards.x\] unknown key server"),
        ("[groups.x]", r"\[groups.x\] boards is a list"),
        ("[groups.x]\nboards = [1]", r"\[groups.x\] boards is a list"),
        ("[brokers.x]\npassword = 'a'\npassword_env = 'B'", "password and password_env: one"),
        ("[brokers.x]\npassword_command = 'a'", "only your own may say so, .*mqboard.toml"),
    ],
)
def test_a_wrong_key_is_named_with_its_file_although_nobody_uses_it(resolve, toml, message):
    with pytest.raises(UsageError, match=f"mqboard.toml: .*{message}|{message}") as error:
        resolve(toml)
    assert "mqboard.toml" in str(error.value)


def with_secret(line):
    return f'broker = "x"\n[brokers.x]\nserver = "s"\nusername = "u"\n{line}\n'


def test_a_password_is_what_a_variable_has(resolve):
    toml = with_secret('password_env = "FARM"')
    assert resolve(toml, FARM="s3cret").password == "s3cret"
    with pytest.raises(UsageError, match=r"\[brokers.x\]: password_env names FARM, and that is"):
        resolve(toml)


def test_a_password_is_what_a_command_prints_first(resolve):
    user = with_secret("password_command = \"printf 'a b\\\\nmore\\\\n'\"")
    assert resolve(user=user).password == "a b"


@pytest.mark.parametrize(
    ("command", "message"),
    [("false", "ended with status 1: false"), ("true", "said nothing"), ("/no/such", "cannot be")],
)
def test_a_command_without_a_password_is_named(resolve, command, message):
    with pytest.raises(UsageError, match=rf"\[brokers.x\]: password_command {message}"):
        resolve(user=with_secret(f'password_command = "{command}"'))


def test_a_command_is_not_run_for_a_password_that_is_there_or_for_another_user(resolve, tmp_path):
    user = with_secret(f'password_command = "touch {tmp_path}/ran"')
    assert resolve(user=user, MQBOARD_PASSWORD="mine").password == "mine"
    assert resolve(options={"username": "other"}).password == ""
    assert not (tmp_path / "ran").exists()


def test_the_password_of_a_user_that_is_an_option_is_in_the_variable(resolve):
    found = resolve(options={"username": "me"}, MQBOARD_PASSWORD="s3cret")
    assert (found.username, found.password) == ("me", "s3cret")


def test_the_variable_gives_a_named_broker_the_password_that_it_lacks(resolve):
    assert resolve(FARM, {"broker": "farm"}, MQBOARD_PASSWORD="mine").password == "mine"


def test_a_file_with_a_password_that_others_can_read_is_told(resolve, tmp_path):
    told = []
    toml = with_secret('password = "s3cret"')
    (tmp_path / "mqboard.toml").write_text(toml)
    os.chmod(tmp_path / "mqboard.toml", 0o600)
    assert resolve(toml, warn=told.append).password == "s3cret" and not told
    os.chmod(tmp_path / "mqboard.toml", 0o640)
    resolve(toml, warn=told.append)
    (line,) = told
    assert "others on this machine can read it: chmod 600" in line and "s3cret" not in line
    os.chmod(tmp_path / "mqboard.toml", 0o644)
    resolve('prefix = "no secret"', warn=told.append)
    assert len(told) == 1


def test_paths_are_seen_from_the_file(resolve, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    found = resolve('ca = "ca.pem"\ncert = "~/cert.pem"\nkey = "/etc/key.pem"')
    assert (found.ca, found.cert, found.key) == (
        str(Path(tmp_path, "ca.pem")),
        "/home/me/cert.pem",
        "/etc/key.pem",
    )


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("mqtt.example", ("mqtt.example", 8883, True, "")),
        ("mqtt.example:99", ("mqtt.example", 99, True, "")),
        ("mqtt://mqtt.example", ("mqtt.example", 1883, False, "")),
        ("mqtts://127.0.0.1", ("127.0.0.1", 8883, True, "")),
        ("MQTTS://[::1]:99", ("::1", 99, True, "")),
        ("::1", ("::1", 1883, False, "")),
        ("ws://mqtt.example", ("mqtt.example", 80, False, "/mqtt")),
        ("wss://mqtt.example", ("mqtt.example", 443, True, "/mqtt")),
        ("wss://mqtt.example:9001/", ("mqtt.example", 9001, True, "/mqtt")),
        ("wss://mqtt.example/a/b?c", ("mqtt.example", 443, True, "/a/b?c")),
    ],
)
def test_a_server_may_be_a_url(resolve, server, expected):
    found = resolve(options={"server": server})
    assert (found.server, found.port, found.tls, found.path) == expected


def test_a_server_beats_a_url_that_is_given_later_and_the_other_way_round(resolve):
    found = resolve('server = "wss://a:9"', {"server": "b"})
    assert (found.server, found.port, found.path) == ("b", 8883, "")
    found = resolve('server = "a"\nport = 9\ntls = true', {"server": "ws://b"})
    assert (found.server, found.port, found.tls, found.path) == ("b", 80, False, "/mqtt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"server": "http://a"}, "not reached by http, but by one of mqtt, mqtts, ws, wss"),
        ({"server": "mqtts://a", "tls": False}, "mqtts:// is with TLS, and the options say other"),
        ({"server": "mqtts://u:s3cret@a"}, "no user in it: --username"),
        ({"server": "mqtts://a/b"}, "only ws:// and wss:// have a path"),
        ({"server": "lan:abc"}, "lan:abc is no broker.s address; write it like HOST:8883"),
        ({"server": "wss://a b"}, "is no broker's address; write it like"),
        ({"server": "wss://"}, "is no broker's address"),
        ({"server": "wss://a/b\r\nX: y"}, "is no broker's address"),
        ({"prefix": "a/+", "id": "12"}, "An id is that of one board"),
        ({"server": "wss://a:99999"}, "Port 99999 is not between"),
    ],
)
def test_a_server_that_is_none_is_explained(resolve, options, message):
    with pytest.raises(UsageError, match=message) as error:
        resolve(options=options)
    assert "s3cret" not in str(error.value)


def test_a_broker_is_written_as_it_is_reached(resolve):
    assert resolve(options={"server": "wss://[::1]"}).where == "wss://[::1]:443/mqtt"
    assert resolve(options={"server": "ws://a:9/x"}).where == "ws://a:9/x"
    assert not resolve().chosen and resolve(options={"server": "a"}).chosen


def test_the_database_of_rollouts_is_seen_from_its_file_or_has_a_url(resolve, tmp_path):
    assert resolve('database = "fleet.db"').database == str(tmp_path / "fleet.db")
    url = "postgresql://me@db.example/fleet"
    assert resolve(f'database = "{url}"').database == url
    assert resolve('database = "fleet.db"', MQBOARD_DATABASE="other.db").database == "other.db"
    assert resolve('prefix = "p"', user=f'database = "{url}"').database == url


def test_a_database_with_a_password_that_others_can_read_is_told(resolve, tmp_path):
    told = []
    toml = 'database = "postgresql://me:s3cret@db.example/fleet"\n'
    (tmp_path / "mqboard.toml").write_text(toml)
    os.chmod(tmp_path / "mqboard.toml", 0o640)
    found = resolve(toml, warn=told.append)
    assert len(told) == 1 and "has a secret in it" in told[0]
    assert "s3cret" not in repr(found)
