"""Tests the folder that is made: what the first run makes, what the next ones keep and change."""

import json
import os
import stat
import tomllib

import pytest
from cryptography import x509
from userfile import HEAD, PASSWORD, PSK, users

from mqhost.broker import authority as certificates
from mqhost.broker import folder as folders
from mqhost.broker.access import Access
from mqhost.broker.configure import configure
from mqhost.broker.passwords import is_password, read_passwords, write_passwords
from mqhost.broker.report import Wish
from mqhost.errors import UsageError
from mqhost.link.boardconfig import check

EVERYBODY = users(["farm/pump", "farm/gate" + PASSWORD], ["anna", "bob" + PASSWORD])


class Made:
    """A folder, and what somebody finds in it."""

    def __init__(self, path):
        self.path = path

    def run(self, text=EVERYBODY, **wish):
        """Bring the folder to what `text` says; return the report."""
        access = Access.parse(text, "users.toml", folder=self.path.parent)
        return configure(self.path, access, "users.toml", Wish(**wish))

    def files(self):
        """Return the bytes of each file."""
        found = [path for path in self.path.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.path)): path.read_bytes() for path in found}

    def text(self, name):
        return (self.path / name).read_text()

    def serial(self, name):
        data = (self.path / name / "cert.pem").read_bytes()
        return x509.load_pem_x509_certificate(data).serial_number

    def revoked(self):
        return certificates.revoked_serials((self.path / "mosquitto/revoked.pem").read_bytes())

    def hashes(self):
        return read_passwords(self.text("mosquitto/passwords"), "passwords")

    def config(self, board):
        return json.loads(self.text(f"boards/{board}/config.json"))

    def toml(self, operator):
        return tomllib.loads(self.text(f"operators/{operator}/mqboard.toml"))


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path / "mq")


def test_the_first_run_makes_what_everybody_needs(made):
    report = made.run()
    assert report.added == ["farm-pump", "farm-gate", "anna", "bob"] and report.made_ca
    assert set(made.files()) == {
        *(".gitignore", ".lock", "state.json", "ca/ca.pem", "ca/ca.key"),
        *(f"mosquitto/{name}" for name in ("mosquitto.conf", "acl", "passwords", "ca.pem")),
        *("mosquitto/server.pem", "mosquitto/revoked.pem"),
        *(f"boards/farm-pump/{name}" for name in ("config.json", "ca.pem", "cert.pem", "key.pem")),
        *(f"boards/farm-gate/{name}" for name in ("config.json", "ca.pem")),
        *(f"operators/anna/{name}" for name in ("mqboard.toml", "ca.pem", "cert.pem", "key.pem")),
        *(f"operators/bob/{name}" for name in ("mqboard.toml", "ca.pem")),
    }


def test_only_the_owner_can_read_keys_and_passwords(made):
    os.umask(previous := os.umask(0))
    try:
        os.umask(0)
        made.run()
    finally:
        os.umask(previous)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    for name, data in made.files().items():
        mode = stat.S_IMODE((made.path / name).stat().st_mode)
        secret = b"PRIVATE KEY" in data or b'password"' in data or b"password =" in data
        assert not mode & 0o022 or name == ".lock", name
        assert not (mode & 0o077) or not secret, name
    for name in ("acl", "passwords"):
        assert stat.S_IMODE((made.path / "mosquitto" / name).stat().st_mode) == 0o600


def test_snippets_say_how_to_reach_the_broker(made):
    made.run()
    certs = {f"{key}": f"/certs/{key}.pem" for key in ("ca", "cert", "key")}
    where = {"host": "broker.lan", "port": 8883} | certs
    assert made.config("farm-pump") == {"prefix": "farm/pump", "broker": where}
    assert made.toml("anna") == {
        "server": "broker.lan",
        "port": 8883,
        "tls": True,
        **{key: f"{key}.pem" for key in ("ca", "cert", "key")},
    }
    gate, bob = made.config("farm-gate")["broker"], made.toml("bob")
    assert (gate["port"], gate["user"], bob["port"], bob["username"]) == (
        *(8884, "farm-gate"),
        *(8884, "bob"),
    )
    hashes = made.hashes()
    assert is_password(gate["password"], hashes["farm-gate"])
    assert is_password(bob["password"], hashes["bob"]) and set(hashes) == {"farm-gate", "bob"}


KEYED = users(["farm/pump" + PSK, "farm/gate"], ["anna"])


def test_a_board_with_a_pre_shared_key_needs_no_file_but_its_configuration(made):
    assert made.run(KEYED).added == ["farm-pump", "farm-gate", "anna"]
    assert {name for name in made.files() if "farm-pump" in name} == {
        "boards/farm-pump/config.json"
    }
    key = made.text("mosquitto/keys").removeprefix("farm-pump:").rstrip()
    where = {"host": "broker.lan", "port": 8885, "psk": {"identity": "farm-pump", "key": key}}
    assert made.config("farm-pump") == {"prefix": "farm/pump", "broker": where}
    check(made.config("farm-pump") | {"networks": [{"ssid": "farm"}]})
    assert len(key) == 64
    for name in ("mosquitto/keys", "boards/farm-pump/config.json"):
        assert stat.S_IMODE((made.path / name).stat().st_mode) == 0o600
    conf = made.text("mosquitto/mosquitto.conf")
    assert f"psk_file {made.path}/mosquitto/keys\n" in conf
    assert "\nlistener 8885\npsk_hint mqboard\n" in conf
    assert made.run(KEYED).written == []


def test_a_key_is_renewed_revoked_and_taken_away(made):
    made.run(KEYED)
    first = made.config("farm-pump")["broker"]["psk"]["key"]
    report = made.run(KEYED, renew=["farm-pump"])
    second = made.config("farm-pump")["broker"]["psk"]["key"]
    assert report.renewed == ["farm-pump"] and not report.restart and second != first
    assert made.text("mosquitto/keys") == f"farm-pump:{second}\n"
    assert made.run(KEYED, revoke=["farm-pump"]).restart  # who has the old one is still there
    assert second not in made.text("mosquitto/keys")
    without = users(["farm/gate"], ["anna"])
    with pytest.raises(UsageError, match="farm-pump would get in no more"):
        made.run(without)
    assert made.run(without, remove=True).removed == ["farm-pump"]
    assert made.text("mosquitto/keys") == "" and "psk" not in made.text("mosquitto/mosquitto.conf")


def test_a_board_may_change_from_a_certificate_to_a_key_and_back(made):
    made.run(users(["farm/pump"]))
    report = made.run(users(["farm/pump" + PSK]), remove=True)
    assert (report.added, report.removed) == (["farm-pump"], ["farm-pump"])
    assert {name for name in made.files() if "farm-pump" in name} == {
        "boards/farm-pump/config.json"
    }
    made.run(users(["farm/pump"]), remove=True)
    assert "psk" not in made.config("farm-pump")["broker"]
    assert made.text("mosquitto/keys") == "" and len(made.revoked()) == 1


def test_a_damaged_file_of_keys_is_named(made):
    made.run(KEYED)
    (made.path / "mosquitto/keys").write_text("farm-pump:xyz\n")
    with pytest.raises(UsageError, match="keys has a line without a hexadecimal key"):
        made.run(KEYED)


def test_a_board_that_goes_by_an_address_verifies_a_name(made):
    made.run(users(["pump"], head='[broker]\nhost = "192.168.1.2"\n'))
    assert made.config("pump")["broker"]["server_name"] == certificates.PLAIN_NAME
    pem = (made.path / "mosquitto/server.pem").read_bytes()
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert certificates.PLAIN_NAME in names.value.get_values_for_type(x509.DNSName)


def test_what_all_boards_share_is_in_each_configuration(made, tmp_path):
    common = {
        "networks": [{"ssid": "farm", "password": "long enough"}],
        "broker": {"keepalive": 30, "user": "somebody", "password": "x", "tls": False},
        "ntp": "",
    }
    (tmp_path / "common.json").write_text(json.dumps(common))
    made.run(users(["pump"], head=HEAD + 'board_config = "common.json"\n'))
    config = made.config("pump")
    check(config)
    assert config["broker"]["keepalive"] == 30 and config["ntp"] == ""
    assert not {"user", "password", "tls"} & set(config["broker"])
    mode = (made.path / "boards/pump/config.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600  # the Wi-Fi's password


def test_a_board_that_wants_a_key_gets_one_and_so_do_those_who_may_command_it(made):
    operators = ['anna\nprefixes = ["farm/+"]', 'bob\nprefixes = ["home/#"]']
    text = users(["farm/pump\nauth = true", "farm/gate", "home/lamp"], operators)
    text += '[[operators]]\nname = "logs"\nroles = ["logs"]\n'
    made.run(text)
    key = made.config("farm-pump")["auth"]["key"]
    check(made.config("farm-pump") | {"networks": [{"ssid": "x"}]})
    assert made.toml("anna")["boards"] == {"farm-pump": {"prefix": "farm/pump", "auth_key": key}}
    for name in ("bob", "logs"):
        assert "boards" not in made.toml(name)
    assert "auth" not in made.config("farm-gate")
    for name in ("boards/farm-pump/config.json", "operators/anna/mqboard.toml", "state.json"):
        assert stat.S_IMODE((made.path / name).stat().st_mode) == 0o600
    made.run(text, renew=["farm-pump"])
    assert made.config("farm-pump")["auth"]["key"] == key  # a certificate is another thing
    made.run(text.replace("auth = true", "auth = false"))
    assert "auth" not in made.config("farm-pump") and "boards" not in made.toml("anna")
    made.run(text)
    assert made.config("farm-pump")["auth"]["key"] not in (key, "")


def test_a_second_run_changes_nothing(made):
    made.run()
    before = made.files()
    report = made.run()
    assert made.files() == before
    assert not report.written and not report.added and not report.broker_changed


def test_what_is_new_is_added_and_all_else_stays(made):
    made.run()
    before = made.files()
    more = ["farm/pump", "farm/gate" + PASSWORD, "farm/well"]
    report = made.run(users(more, ["anna", "bob" + PASSWORD, "cleo"]))
    after = made.files()
    assert report.added == ["farm-well", "cleo"] and not report.removed and not report.restart
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"state.json", "mosquitto/acl"}
    assert "user farm-well\ntopic readwrite farm/well/#\n" in made.text("mosquitto/acl")


def test_who_is_gone_is_shut_out_only_when_that_is_asked_for(made):
    made.run()
    before = made.files()
    left = users(["farm/gate" + PASSWORD], ["anna"])
    with pytest.raises(UsageError, match="bob, farm-pump would get in no more.*--remove"):
        made.run(left)
    assert made.files() == before
    serial = made.serial("boards/farm-pump")
    report = made.run(left, remove=True)
    assert report.removed == ["bob", "farm-pump"] and not report.restart
    (note,) = report.notes
    assert note == "The broker keeps the last status of farm/pump: mqboard boards --forget."
    assert made.revoked() == {serial}
    assert set(made.hashes()) == {"farm-gate"}
    for gone in ("farm-pump", "bob"):
        assert gone not in made.text("mosquitto/acl")
    assert not (made.path / "boards/farm-pump").exists()
    assert not (made.path / "operators/bob").exists()


def test_who_comes_back_gets_something_new(made):
    made.run()
    serial = made.serial("boards/farm-pump")
    made.run(users(["farm/gate" + PASSWORD], ["anna", "bob" + PASSWORD]), remove=True)
    assert made.run().added == ["farm-pump"]
    assert made.revoked() == {serial} and made.serial("boards/farm-pump") != serial


def test_who_logs_in_in_another_way_is_asked_about_too(made):
    made.run(users(["pump"]))
    with pytest.raises(UsageError, match="pump would get in no more"):
        made.run(users(["pump" + PASSWORD]))
    serial = made.serial("boards/pump")
    made.run(users(["pump" + PASSWORD]), remove=True)
    assert made.revoked() == {serial}
    assert {path.name for path in (made.path / "boards/pump").iterdir()} == {
        "config.json",
        "ca.pem",
    }
    made.run(users(["pump"]), remove=True)
    assert made.hashes() == {} and "password_file" not in made.text("mosquitto/mosquitto.conf")


def test_a_board_does_not_lose_its_prefix_by_a_slip_of_the_pen(made):
    made.run(users(['old\nname = "pump"']))
    new = users(['new\nname = "pump"'])
    with pytest.raises(UsageError, match="pump loses what is below old.*also.*--remove"):
        made.run(new)
    made.run(users(['new\nname = "pump"\nalso = ["old"]']))
    assert "readwrite old/#" in made.text("mosquitto/acl")
    (note,) = made.run(new, remove=True).notes
    assert note == "pump loses what is below old."
    assert "readwrite old/#" not in made.text("mosquitto/acl")
    assert not made.run(new).notes


def test_an_operator_that_becomes_a_board_moves_house(made):
    made.run(users(operators=["pump"]))
    serial = made.serial("operators/pump")
    report = made.run(users(["pump"]), renew=["pump"], revoke=["pump"])
    assert report.renewed == ["pump"] and made.revoked() == {serial}
    assert not (made.path / "operators/pump").exists()
    assert (made.path / "boards/pump/cert.pem").exists()


def test_a_renewed_certificate_leaves_the_old_one_valid_until_it_is_revoked(made):
    made.run(users(["pump"]))
    old = made.serial("boards/pump")
    report = made.run(users(["pump"]), renew=["pump"])
    new = made.serial("boards/pump")
    assert report.renewed == ["pump"] and new != old and made.revoked() == set()
    assert any("--revoke pump" in note for note in report.notes)
    report = made.run(users(["pump"]), revoke=["pump"])
    assert made.revoked() == {old} and made.serial("boards/pump") == new and not report.notes
    assert report.revoked == ["pump"] and report.restart  # who is connected with it stays otherwise


def test_a_stolen_certificate_is_revoked_and_replaced_at_once(made):
    made.run(users(["pump", "gate"]))
    old = {made.serial(f"boards/{name}") for name in ("pump", "gate")}
    made.run(users(["pump", "gate"]), renew=["pump"], revoke=["pump"])
    made.run(users(["pump", "gate"]), revoke=["gate"])  # it has no other
    assert made.revoked() == old
    assert not old & {made.serial(f"boards/{name}") for name in ("pump", "gate")}


def test_a_renewed_password_replaces_the_old_one(made):
    made.run()
    before = made.config("farm-gate")["broker"]["password"]
    assert made.run(renew=["farm-gate"]).renewed == ["farm-gate"]
    after = made.config("farm-gate")["broker"]["password"]
    assert after != before and is_password(after, made.hashes()["farm-gate"])


def test_the_brokers_certificate_is_renewed_when_that_is_asked_for_or_it_needs_more_names(made):
    made.run(users())
    pem = made.path / "mosquitto/server.pem"
    first = pem.read_bytes()
    assert made.run(users(), renew=["server"]).renewed == ["server"]
    second = pem.read_bytes()
    made.run(users(head=HEAD + 'names = ["10.0.0.1"]\n'))
    third = pem.read_bytes()
    made.run(users())  # it has more names than are needed
    assert len({first, second, third}) == 3 and pem.read_bytes() == third
    assert certificates.is_pair(third, third)


def test_it_is_renewed_before_it_ends(made):
    short = users(head=HEAD + "server_days = 3\n")
    made.run(short)
    before = (made.path / "mosquitto/server.pem").read_bytes()
    made.run(short)
    assert (made.path / "mosquitto/server.pem").read_bytes() == before
    made.run(users())  # with the usual 1825 days, 3 are soon over
    assert (made.path / "mosquitto/server.pem").read_bytes() != before


def test_without_the_cas_key_all_goes_on_that_needs_no_signature(made, tmp_path):
    made.run()
    key = tmp_path / "usb.key"
    os.rename(made.path / "ca/ca.key", key)
    more = users(["farm/pump", "farm/gate" + PASSWORD], ["anna", "bob" + PASSWORD, "c" + PASSWORD])
    assert made.run(more).added == ["c"]
    before = made.files()
    with pytest.raises(UsageError, match="the CA's key is not at .*ca/ca.key.*--ca-key"):
        made.run(more.replace("[[operators]]", '[[boards]]\nprefix = "new"\n[[operators]]', 1))
    with pytest.raises(UsageError, match="--ca-key"):
        made.run(users(["farm/gate" + PASSWORD]), remove=True)
    assert made.files() == before
    with pytest.raises(UsageError, match="no.key cannot be read: No such file"):
        made.run(more, renew=["anna"], ca_key=tmp_path / "no.key")
    assert made.run(more, renew=["anna"], ca_key=key).renewed == ["anna"]
    assert not (made.path / "ca/ca.key").exists()


def test_a_certificate_that_is_about_to_end_is_told_of_when_it_cannot_be_renewed(made):
    made.run(users(head=HEAD + "server_days = 3\n"))
    os.unlink(made.path / "ca/ca.key")
    (note,) = made.run(users()).notes
    assert "The broker's certificate ends on" in note and "--ca-key" in note


def test_a_ca_of_somebodys_own_is_used(made):
    other, key = certificates.Authority.make("company")
    (made.path / "ca").mkdir(parents=True)
    (made.path / "ca/ca.pem").write_bytes(other.pem)
    (made.path / "ca/ca.key").write_bytes(key)
    assert not made.run().made_ca
    assert (made.path / "boards/farm-pump/ca.pem").read_bytes() == other.pem


def test_a_passphrase_encrypts_the_cas_key_and_is_needed_to_sign(made):
    made.run(new_passphrase="open sesame")
    assert "ENCRYPTED" in made.text("ca/ca.key")
    assert made.run(users(["farm/pump", "farm/gate" + PASSWORD], ["anna", "bob" + PASSWORD]))
    assert made.run(renew=["anna"], passphrase=lambda: "open sesame").renewed == ["anna"]
    with pytest.raises(UsageError, match="its passphrase is another"):
        made.run(renew=["anna"], passphrase=lambda: "open barley")


def test_a_certificate_from_elsewhere_is_named_where_it_is(made, tmp_path):
    other = certificates.Authority.make("public CA")[0]
    (tmp_path / "root.pem").write_bytes(other.pem)
    head = HEAD + 'server_cert = "/live/full.pem"\nserver_key = "/live/key.pem"\n'
    report = made.run(users(["pump"], ["anna"], head + 'server_ca = "root.pem"\n'))
    conf = made.text("mosquitto/mosquitto.conf")
    assert "certfile /live/full.pem\nkeyfile /live/key.pem\n" in conf and report.expires is None
    assert (made.path / "boards/pump/ca.pem").read_bytes() == other.pem
    assert (made.path / "operators/anna/ca.pem").read_bytes() == other.pem
    assert (made.path / "mosquitto/ca.pem").read_bytes() != other.pem  # who comes in is by ours


def test_the_folder_at_the_broker_may_be_another(made):
    made.run(users(["pump" + PASSWORD], head=HEAD + 'folder = "/etc/mosquitto/mqboard/"\n'))
    conf = made.text("mosquitto/mosquitto.conf")
    assert "password_file /etc/mosquitto/mqboard/passwords\n" in conf
    assert str(made.path) not in conf


def test_only_the_ports_that_somebody_needs_are_open(made):
    def ports():
        lines = made.text("mosquitto/mosquitto.conf").splitlines()
        return [int(line.split()[1]) for line in lines if line.startswith("listener")]

    made.run(users())
    assert ports() == [8883]
    made.run(users(["pump" + PASSWORD]))
    assert ports() == [8884]
    assert made.run(users(["pump" + PASSWORD], ["anna"])).restart
    assert ports() == [8883, 8884]
    made.run(users(["pump" + PASSWORD], ["anna"], HEAD + "websocket_port = 9001\n"))
    assert ports() == [8883, 8884, 9001]


def test_own_lines_come_last(made):
    made.run(users(head=HEAD + 'extra = ["log_type debug"]\n'))
    assert made.text("mosquitto/mosquitto.conf").endswith("log_type debug\n")


# What a person changed


def test_a_file_that_a_person_changed_is_left_alone(made):
    made.run()
    conf = made.path / "boards/farm-pump/config.json"
    conf.write_text('{"mine": true}')
    made.run(renew=["anna"])
    assert conf.read_text() == '{"mine": true}'


def test_it_is_not_replaced_without_being_told_to(made):
    made.run()
    acl = made.path / "mosquitto/acl"
    acl.write_text(mine := acl.read_text() + "topic read secrets/#\n")
    before = made.files()
    more = EVERYBODY + '[[boards]]\nprefix = "new"\n'
    with pytest.raises(UsageError, match="acl was changed by somebody.*--replace"):
        made.run(more)
    assert made.files() == before
    report = made.run(more, replace=True)
    assert "user new" in acl.read_text() and "secrets" not in acl.read_text()
    assert made.text("mosquitto/acl.yours") == mine
    assert any("acl.yours" in note for note in report.notes)


def test_a_brokers_file_that_was_changed_is_told_of_each_time_and_can_be_made_anew(made):
    made.run()
    conf = made.path / "mosquitto/mosquitto.conf"
    good = conf.read_text()
    conf.write_text("allow_anonymous true\n")
    assert made.run().edited == made.run().edited == ["mosquitto/mosquitto.conf"]
    assert made.run(replace=True).edited == []
    assert conf.read_text() == good
    assert made.text("mosquitto/mosquitto.conf.yours") == "allow_anonymous true\n"


def test_a_password_that_was_changed_by_hand_holds(made):
    made.run()
    from mqhost.broker.passwords import hash_password

    hashes = made.hashes() | {"bob": hash_password("bob's own")}
    (made.path / "mosquitto/passwords").write_text(write_passwords(hashes))
    known = made.toml("bob")
    made.run(EVERYBODY + '[[operators]]\nname = "cleo"\nroles = ["logs"]\nlogin = "password"\n')
    assert made.hashes()["bob"] == hashes["bob"] and made.toml("bob") == known


def test_who_was_put_into_the_password_file_by_hand_is_asked_about(made):
    made.run()
    hashes = made.hashes() | {"mallory": made.hashes()["bob"]}
    (made.path / "mosquitto/passwords").write_text(write_passwords(hashes))
    with pytest.raises(UsageError, match="mallory would get in no more"):
        made.run()


def test_a_password_file_that_is_none_is_not_overwritten(made):
    made.run()
    (made.path / "mosquitto/passwords").write_text("bob:plain\n")
    with pytest.raises(UsageError, match="without a hashed password, of 'bob'"):
        made.run()


def test_what_was_given_to_its_user_and_removed_here_is_not_made_again(made):
    made.run()
    for name in ("boards/farm-pump/key.pem", "boards/farm-gate/config.json"):
        os.unlink(made.path / name)
    report = made.run(users(["farm/pump", "farm/gate" + PASSWORD], ["anna", "bob" + PASSWORD, "c"]))
    assert report.added == ["c"]
    assert not (made.path / "boards/farm-pump/key.pem").exists()
    assert not (made.path / "boards/farm-gate/config.json").exists()
    made.run(
        users(["farm/pump", "farm/gate" + PASSWORD], ["anna", "bob" + PASSWORD, "c"]),
        renew=["farm-pump", "farm-gate"],
    )
    assert (made.path / "boards/farm-pump/key.pem").exists()
    assert made.config("farm-gate")["broker"]["password"]


def test_another_host_is_in_all_snippets_that_are_still_there(made):
    made.run()
    before = made.files()
    os.unlink(made.path / "operators/anna/mqboard.toml")
    made.run(EVERYBODY.replace("broker.lan", "new.lan"))
    assert made.config("farm-pump")["broker"]["host"] == "new.lan"
    assert made.config("farm-gate")["broker"]["host"] == "new.lan"
    assert made.toml("bob")["server"] == "new.lan"
    assert not (made.path / "operators/anna/mqboard.toml").exists()
    assert made.files()["mosquitto/passwords"] == before["mosquitto/passwords"]


def test_what_a_person_changed_of_one_who_is_gone_stays_and_is_told(made):
    made.run(users(["pump", "gate"]))
    (made.path / "boards/pump/config.json").write_text("{}")
    report = made.run(users(["gate"]), remove=True)
    assert {path.name for path in (made.path / "boards/pump").iterdir()} == {"config.json"}
    assert any("boards/pump/config.json" in note for note in report.notes)


# What goes wrong


def test_unknown_names_are_refused(made):
    with pytest.raises(UsageError, match="There is no user pmup in users.toml"):
        made.run(users(["pump"]), renew=["pmup"])
    with pytest.raises(UsageError, match="boards ask nobody"):
        made.run(users(["pump"]), revoke=["server"])


def test_without_its_memory_nothing_is_given_out_anew(made):
    made.run()
    os.unlink(made.path / "state.json")
    with pytest.raises(UsageError, match="state.json is missing.*backup"):
        made.run()
    (made.path / "state.json").write_text("{}")
    with pytest.raises(UsageError, match="state.json cannot be read"):
        made.run()
    (made.path / "state.json").write_text('{"format": 2}')
    with pytest.raises(UsageError, match="another version"):
        made.run()


def test_a_pattern_without_boards_is_told_of(made):
    text = users(["farm/pump"], ['anna\nprefixes = ["fram/+"]'])
    (note,) = made.run(text).notes
    assert note == "No board has a prefix like fram/+, of anna."


def test_a_dry_run_tells_and_does_nothing(made):
    with pytest.raises(UsageError, match="There is no folder"):
        made.run(dry_run=True)
    made.run()
    before = made.files()
    report = made.run(users(["farm/well"]), dry_run=True)
    assert report.added == ["farm-well"]
    assert report.removed == ["anna", "bob", "farm-gate", "farm-pump"]
    assert "boards/farm-well/key.pem" in report.written
    assert "boards/farm-pump/key.pem" in report.deleted
    assert made.files() == before


class PowerCutError(Exception):
    """The process ends here."""


def cut_after(monkeypatch, count):
    """Have the process die at the call number `count` that changes a name in a folder."""
    calls = iter(range(count))

    def dying(real):
        def call(*arguments, **options):
            if next(calls, None) is None:
                raise PowerCutError
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(folders.os, "replace", dying(os.replace))
    monkeypatch.setattr(folders.shutil, "rmtree", dying(folders.shutil.rmtree))
    monkeypatch.setattr(folders, "_write", dying(folders._write))
    monkeypatch.setattr(folders.Path, "unlink", dying(folders.Path.unlink))


def test_a_run_that_dies_anywhere_has_done_all_or_nothing(tmp_path):
    """At each step; the next run, even one that is to do nothing, finds all new or all old."""
    start = users(["a", "b" + PASSWORD], ["anna"])
    end = users(["a", "c"], ["anna" + PASSWORD, "d"], HEAD + 'names = ["other.lan"]\n')
    outcomes = []
    for count in range(200):
        made = Made(tmp_path / str(count))
        made.run(start)
        before = made.files()
        with pytest.MonkeyPatch.context() as patch:
            cut_after(patch, count)
            try:
                made.run(end, remove=True)
                break
            except PowerCutError:
                pass
        server = (made.path / "mosquitto/server.pem").read_bytes()
        assert certificates.is_pair(server, server)  # even before anybody repairs anything
        with folders.Folder.opened(made.path):
            pass
        after = made.files()
        assert not [name for name in after if name.split("/")[0] in (".new", ".ready", ".done")]
        if after == before:
            outcomes.append("old")
            continue
        outcomes.append("new")
        assert not made.run(end, dry_run=True).written
        assert made.revoked() and set(made.hashes()) == {"anna"}
    assert outcomes == sorted(outcomes, reverse=True)
    assert set(outcomes) == {"old", "new"} and len(outcomes) > 30
