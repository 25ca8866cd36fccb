"""Tests the connection settings: which source wins, and what is refused."""

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqhost.errors import UsageError
from mqhost.link.settings import Settings, check_prefix, command_line


def resolve(tmp_path, toml="", options=None, **environment):
    (tmp_path / "mqboard.toml").write_text(toml)
    return Settings.resolve(options, environment=environment, folder=tmp_path)


def test_options_beat_environment_beats_file_beats_defaults(tmp_path):
    toml = 'server = "file"\nport = 1\nusername = "file"\n'
    settings = resolve(
        tmp_path,
        toml,
        {"server": "option", "port": None},
        MQBOARD_SERVER="environment",
        MQBOARD_PORT="2",
    )
    assert (settings.server, settings.port, settings.username) == ("option", 2, "file")
    assert settings.timeout == 10


def test_no_file_is_no_error(tmp_path):
    assert Settings.resolve(environment={}, folder=tmp_path) == Settings()


def test_tls_is_the_default_except_to_this_machine():
    assert (Settings().tls, Settings().port) == (False, 1883)
    assert (Settings(server="mqtt.example.com").tls, Settings(server="a").port) == (True, 8883)
    assert Settings(server="mqtt.example.com", tls=False).port == 1883


def test_the_password_does_not_show():
    assert "secret" not in repr(Settings(username="me", password="secret"))


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("sever = 'x'", "mqboard.toml: unknown key sever. Known: server, port"),
        ("port = 'x'", "mqboard.toml: port is 'x'"),
        ("port = true", "wrong type"),
        ("port = 70000", "between 1 and 65535"),
        ("port = ", "cannot be read"),
        ("timeout = 0", "makes no sense"),
        ("cert = 'c.pem'", "both"),
        ("password = 'x'", "without a username"),
        ("server = ''", "server's name is empty"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path, toml, message):
    with pytest.raises(UsageError, match=message):
        resolve(tmp_path, toml)


@pytest.mark.parametrize(
    "variables", [{"MQBOARD_PORT": "x"}, {"MQBOARD_TLS": "x"}, {"MQBOARD_TIMEOUT": "x"}]
)
def test_a_wrong_variable_is_named(tmp_path, variables):
    with pytest.raises(UsageError, match=next(iter(variables))):
        resolve(tmp_path, **variables)


def test_tls_can_be_switched_by_the_environment(tmp_path):
    assert resolve(tmp_path, MQBOARD_TLS="true").tls is True
    assert resolve(tmp_path, MQBOARD_TLS="0", MQBOARD_SERVER="elsewhere").tls is False


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("a/+", r"\+ in it"),
        ("#", "# in it"),
        ("/a", "level is empty"),
        ("a\nb", r"U\+000A"),
        ("\udcff", r"U\+DCFF"),  # what Python makes of an argument that is no UTF-8
        ("$SYS", r"begins with \$"),
        ("a" * 201, "201 bytes in UTF-8; 200 is the most"),
        ("ü" * 101, "202 bytes in UTF-8; 200 is the most"),
    ],
)
def test_what_cannot_be_a_prefix_is_refused_with_the_reason(prefix, words):
    with pytest.raises(UsageError, match=f"^Prefix .* is not possible: .*{words}"):
        Settings(prefix=prefix)


@pytest.mark.parametrize("prefix", ["küche/licht 1", "a" * 200, "ü" * 100])
def test_what_can_be_read_and_typed_is_a_prefix(prefix):
    assert Settings(prefix=prefix).prefix == prefix


@given(st.characters(exclude_characters="+#$/").filter(str.isprintable))
@settings(deadline=None)
def test_every_character_that_prints_may_be_in_a_prefix(character):
    check_prefix(character)


@pytest.mark.parametrize("name", ["server", "username", "password"])
def test_half_a_character_is_named_and_the_password_not_shown(name):
    with pytest.raises(UsageError, match=rf"^{name}: U\+DCFF in it") as error:
        Settings(**{"username": "u", name: "s3cret\udcff"})
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("name", ["username", "password"])
def test_a_credential_is_no_longer_than_mqtt_writes_it(name):
    for size in (65534, 65535):
        Settings(**{"username": "u", name: "x" * size})
    with pytest.raises(UsageError, match=f"The {name} is too long: it has 65536 bytes; 65535 is"):
        Settings(**{"username": "u", name: "é" * 32768})


def test_a_command_line_to_copy_survives_the_shell():
    line = command_line("küche/licht 1; rm '*'", "info")
    assert shlex.split(line) == ["mqboard", "--prefix", "küche/licht 1; rm '*'", "info"]


def test_a_missing_prefix_says_where_to_give_one():
    with pytest.raises(UsageError, match="--prefix esp32/test, MQBOARD_PREFIX"):
        Settings().need_prefix()


def test_whoever_says_how_long_to_wait_has_boards_waited_for_that_are_offline(tmp_path):
    def resolved(options, environment):
        return Settings.resolve(options, environment=environment, folder=tmp_path)

    assert not resolved({"timeout": None}, {}).patient
    assert resolved({"timeout": 10.0}, {}).patient
    assert resolved({}, {"MQBOARD_TIMEOUT": "10"}).patient
    (tmp_path / "mqboard.toml").write_text("timeout = 10\n")
    assert resolved({}, {}).patient
