"""Tests the connection settings: which source wins, and what is refused."""

import pytest

from mqhost.errors import UsageError
from mqhost.link.settings import Settings


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
    "prefix", ["a/+", "#", "/a", "a/", "a//b", "a\0", "a\nb", "$SYS", "a" * 201]
)
def test_what_cannot_be_a_prefix_is_refused(prefix):
    with pytest.raises(UsageError, match="refix"):
        Settings(prefix=prefix)


def test_a_missing_prefix_says_where_to_give_one():
    with pytest.raises(UsageError, match="--prefix esp32/test, MQBOARD_PREFIX"):
        Settings().need_prefix()
