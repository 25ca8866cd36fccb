"""Makes certificates for the tests of TLS: an authority, and what it signs, as PEM files."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
ALWAYS = (-DAY, 30 * DAY)
EXPIRED = (-30 * DAY, -DAY)
FUTURE = (20 * DAY, 30 * DAY)


class Authority:
    """A CA of its own in `folder`; `ca` is its certificate's file."""

    def __init__(self, folder, name="ca", valid=ALWAYS):
        self._folder = folder
        self._key = _ec_key()
        self._name = _name(f"Test authority {name}")
        authority = x509.BasicConstraints(ca=True, path_length=None)
        certificate = (
            _builder(self._name, self._name, self._key, valid)
            .add_extension(authority, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = self._write(f"{name}.pem", certificate)

    def issue(self, name, valid=ALWAYS, *, kind="ec"):
        """Make (certificate's file, key's file) for the host or client `name`."""
        key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else _ec_key()
        certificate = (
            _builder(_name(name), self._name, key, valid)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / f"{name}-{certificate.serial_number:x}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        return self._write(path.name + ".pem", certificate), path

    def listener(self, name="localhost", valid=ALWAYS, *, kind="ec"):
        """Return lines for mosquitto.conf: TLS for host `name`."""
        certificate, key = self.issue(name, valid, kind=kind)
        return [f"certfile {certificate}", f"keyfile {key}"]

    def _write(self, name, certificate):
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


def der(path):
    """Return the DER form of a PEM file with one certificate or key."""
    data = path.read_bytes()
    if b"PRIVATE KEY" not in data:
        return x509.load_pem_x509_certificate(data).public_bytes(serialization.Encoding.DER)
    return serialization.load_pem_private_key(data, None).private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _ec_key():
    return ec.generate_private_key(ec.SECP256R1())


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject, issuer, key, valid):
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid[0])
        .not_valid_after(now + valid[1])
    )
