"""Tests the private CA: OpenSSL and a board's TLS take what it signs, for what it is meant for."""

import datetime
import ssl
import subprocess

import pytest
from cryptography import x509

from mqhost.broker import authority as certificates
from mqhost.broker.authority import FIRST_DAY, PLAIN_NAME, Authority
from mqhost.errors import UsageError


@pytest.fixture(scope="module")
def made():
    return Authority.make("test CA")


@pytest.fixture(scope="module")
def authority(made):
    return made[0]


def verify(tmp_path, authority, issued, *options):
    """Have openssl verify a certificate."""
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "cert.pem").write_bytes(issued.certificate)
    return subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", *options, "cert.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )


def test_openssl_takes_each_for_its_purpose_only(tmp_path, authority):
    server = authority.issue_server(["broker.lan", "192.168.1.2"], 100)
    client = authority.issue_client("farm-pump")
    for issued, purpose, good in (
        (server, "sslserver", True),
        (server, "sslclient", False),
        (client, "sslclient", True),
        (client, "sslserver", False),
    ):
        found = verify(tmp_path, authority, issued, "-purpose", purpose)
        assert (found.returncode == 0) == good, found.stderr
    for option, name in (("-verify_hostname", "broker.lan"), ("-verify_ip", "192.168.1.2")):
        assert verify(tmp_path, authority, server, option, name).returncode == 0
    assert verify(tmp_path, authority, server, "-verify_hostname", "other").returncode == 2


def test_what_is_revoked_is_refused_and_the_list_does_not_go_out_of_date(tmp_path, authority):
    kept, lost = authority.issue_client("kept"), authority.issue_client("lost")
    now = datetime.datetime.now(datetime.UTC)
    pem = authority.revoke({lost.facts.serial_number: now}, 3)
    (tmp_path / "crl.pem").write_bytes(pem)
    options = ["-crl_check", "-CRLfile", "crl.pem"]
    assert verify(tmp_path, authority, kept, *options).returncode == 0
    assert "revoked" in verify(tmp_path, authority, lost, *options).stderr
    assert certificates.revoked_serials(pem) == {lost.facts.serial_number}
    assert x509.load_pem_x509_crl(pem).next_update_utc == authority.until
    late = str(int(authority.until.timestamp()) - 86400)
    assert verify(tmp_path, authority, kept, *options, "-attime", late).returncode == 0


def test_an_empty_list_lets_everybody_in(tmp_path, authority):
    (tmp_path / "crl.pem").write_bytes(authority.revoke({}, 1))
    issued = authority.issue_client("kept")
    assert verify(tmp_path, authority, issued, "-crl_check", "-CRLfile", "crl.pem").returncode == 0


def test_a_board_whose_clock_is_at_its_build_time_takes_them(tmp_path, authority):
    server = authority.issue_server(["broker.lan"], 100)
    past = str(int(FIRST_DAY.timestamp()) + 86400)
    assert verify(tmp_path, authority, server, "-attime", past).returncode == 0


def test_sizes_fit_what_a_board_keeps(authority):
    issued = authority.issue_client("x" * 64)
    assert len(issued.certificate) < 800 and len(issued.key) < 300 and len(authority.pem) < 800


def test_a_client_certificate_lasts_as_long_as_the_ca_unless_it_is_told(authority):
    assert authority.issue_client("a").facts.not_valid_after_utc == authority.until
    left = authority.issue_client("a", 30).facts.not_valid_after_utc
    days = (left - datetime.datetime.now(datetime.UTC)).total_seconds() / 86400
    assert 29.9 < days <= 30
    assert authority.issue_client("a", 30000).facts.not_valid_after_utc == authority.until


def test_the_names_of_a_certificate_can_be_read(authority):
    issued = authority.issue_server(["broker.lan", "10.0.0.1", "::1", "n" * 65], 10)
    names = certificates.server_names(issued.facts)
    assert names == {"broker.lan", "10.0.0.1", "::1", "n" * 65} and PLAIN_NAME not in names


def test_the_key_may_be_encrypted_and_its_passphrase_is_asked_for_when_it_is_needed():
    made, key = Authority.make("test CA", "secret ü")
    assert b"ENCRYPTED" in key
    asked = []

    def opened(*answers):
        asked.clear()
        replies = iter(answers)
        return Authority(
            made.pem, key, where="k", passphrase=lambda: asked.append(1) or next(replies)
        )

    authority = opened("secret ü")
    assert authority.can_sign and not asked
    authority.issue_client("a")
    authority.issue_client("b")
    assert len(asked) == 1
    for wrong in ("no", ""):
        with pytest.raises(UsageError, match="k cannot be used: its passphrase is another"):
            opened(wrong).issue_client("a")


def test_nobody_is_asked_for_the_passphrase_of_a_key_without_one(made):
    def ask():
        raise AssertionError

    Authority(made[0].pem, made[1], passphrase=ask).issue_client("a")


def test_without_its_key_it_signs_nothing_and_says_where_it_looked(authority):
    with pytest.raises(UsageError, match="not at /usb/ca.key.*--ca-key"):
        Authority(authority.pem, where="/usb/ca.key").issue_client("a")


def test_what_is_no_ca_or_not_its_key_is_refused(made):
    authority, key = made
    other = authority.issue_client("a")
    with pytest.raises(UsageError, match="may not sign certificates"):
        Authority(other.certificate, other.key)
    with pytest.raises(UsageError, match="x is not the key of this CA"):
        Authority(authority.pem, other.key, where="x").issue_client("a")
    with pytest.raises(UsageError, match="x cannot be used: it is none in PEM"):
        Authority(authority.pem, b"x", where="x").issue_client("a")
    with pytest.raises(UsageError, match="no certificate that can be read"):
        Authority(b"x", key)


def test_pairs_are_told_from_what_is_none(authority):
    one, other = authority.issue_client("a"), authority.issue_client("a")
    assert certificates.is_pair(one.certificate, one.key)
    both = one.certificate + one.key
    assert certificates.is_pair(both, both)
    for cert, key in ((one.certificate, other.key), (b"", one.key), (one.certificate, b"")):
        assert not certificates.is_pair(cert, key)


def test_signatures_of_others_are_none(authority):
    other = Authority.make("test CA")[0]
    assert authority.has_signed(authority.issue_client("a").facts)
    assert not authority.has_signed(other.issue_client("a").facts)
    assert not certificates.is_list_of(authority, other.revoke({}, 1))
    assert not certificates.is_list_of(authority, b"x")


def test_pythons_tls_loads_what_operators_get(tmp_path, authority):
    issued = authority.issue_client("anna")
    (tmp_path / "cert.pem").write_bytes(issued.certificate)
    (tmp_path / "key.pem").write_bytes(issued.key)
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
