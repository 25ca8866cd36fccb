"""Signs certificates for the broker, boards and operators, and lists which are revoked: the CA.

All keys are ECDSA with P-256, which is small and quick on an ESP32: certificate and key of a board
are less than 1 KB of PEM. All certificates are valid from FIRST_DAY on: a board whose clock nobody
has set yet is at the build time of its firmware, which may be long before today.
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mqhost.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
CA_YEARS = 20
_YEAR = timedelta(days=365)
# For boards that reach the broker by its address: mbedTLS before 3.5 looks at names only.
PLAIN_NAME = "mqboard-broker"
_LONGEST = 64  # bytes of a common name


@dataclass(frozen=True)
class Issued:
    """A certificate that was made, with its key, both PEM."""

    certificate: bytes
    key: bytes

    @property
    def facts(self) -> x509.Certificate:
        """What is in it."""
        return x509.load_pem_x509_certificate(self.certificate)


class Authority:
    """A CA: its certificate and its key in PEM; without the key it signs nothing.

    `where` is the key's path, for people. An encrypted key is opened when there is something to
    sign, with what `passphrase()` returns. Raises UsageError for a certificate that is none of a
    CA, and when signing for a key that cannot be used.
    """

    def __init__(
        self,
        certificate: bytes,
        key: bytes | None = None,
        *,
        where: str = "",
        passphrase: Callable[[], str] = str,
    ) -> None:
        self.pem = certificate
        self.certificate = read_certificate(certificate, "the CA's certificate")
        if not _may_sign(self.certificate):
            raise UsageError("The CA's certificate is none of a CA: it may not sign certificates.")
        self._where = where
        self._pem = key
        self._passphrase = passphrase

    @classmethod
    def make(cls, name: str, passphrase: str = "") -> tuple["Authority", bytes]:
        """Make a new CA; return it and its key in PEM, encrypted if there is a passphrase."""
        key = _new_key()
        subject = _subject(name)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        usage = _usage(key_cert_sign=True, crl_sign=True)
        certificate = (
            _builder(subject, key.public_key(), subject, _now() + CA_YEARS * _YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        encoded = _pem(key, passphrase)
        return cls(pem, encoded, passphrase=lambda: passphrase), encoded

    @property
    def until(self) -> datetime:
        """When it ends, and with it every certificate."""
        return self.certificate.not_valid_after_utc

    @property
    def can_sign(self) -> bool:
        """Whether its key is there."""
        return self._pem is not None

    def issue_server(self, names: Sequence[str], days: int) -> Issued:
        """Make the broker's certificate, for host names and addresses."""
        found: list[x509.GeneralName] = []
        for name in [*names, PLAIN_NAME]:
            try:
                found.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                found.append(x509.DNSName(name))
        common = next((name for name in names if len(name) <= _LONGEST), PLAIN_NAME)
        return self._issue(
            common, days, ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(found)
        )

    def issue_client(self, name: str, days: int = 0) -> Issued:
        """Make the certificate of user `name`, which is its common name; days 0: for long."""
        return self._issue(name, days, ExtendedKeyUsageOID.CLIENT_AUTH)

    def revoke(self, serials: Mapping[int, datetime], number: int) -> bytes:
        """Make list `number` of the certificates that are not valid any more, since when, in PEM.

        It does not go out of date before the CA does: with an outdated one OpenSSL lets nobody in.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(FIRST_DAY)
            .next_update(self.until)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._identifier(), critical=False)
        )
        for serial, since in sorted(serials.items()):
            revoked = x509.RevokedCertificateBuilder().serial_number(serial)
            builder = builder.add_revoked_certificate(revoked.revocation_date(since).build())
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """Return whether `certificate` is one of this CA's."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _issue(
        self,
        name: str,
        days: int,
        purpose: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None = None,
    ) -> Issued:
        signer = self._key
        key = _new_key()
        until = min(self.until, _now() + timedelta(days=days)) if days else self.until
        builder = (
            _builder(_subject(name), key.public_key(), self.certificate.subject, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(self._identifier(), critical=False)
        )
        if names:
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(signer, hashes.SHA256())
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        public: Any = self.certificate.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)

    @cached_property
    def _key(self) -> "CertificateIssuerPrivateKeyTypes":
        """The key, to sign with."""
        if self._pem is None:
            raise UsageError(
                f"There is something to sign, and the CA's key is not at {self._where}. Bring it "
                "from where you keep it, or name it with --ca-key. Nothing was changed."
            )
        key = _load_ca_key(self._pem, self._where, self._passphrase)
        if key.public_key() != self.certificate.public_key():
            raise UsageError(f"{self._where} is not the key of this CA, but of another.")
        return key


def read_certificate(pem: bytes, where: str) -> x509.Certificate:
    """Return the first certificate in PEM text; UsageError naming `where` if there is none."""
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except ValueError as error:
        raise UsageError(f"{where} has no certificate that can be read.") from error


def is_pair(certificate: bytes, key: bytes) -> bool:
    """Return whether `key` is that of `certificate`, both PEM; False also if they are none."""
    try:
        public = serialization.load_pem_private_key(key, None).public_key()
        return x509.load_pem_x509_certificates(certificate)[0].public_key() == public
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def server_names(certificate: x509.Certificate) -> set[str]:
    """Return the host names and addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names} - {PLAIN_NAME}


def revoked_serials(pem: bytes) -> set[int]:
    """Return the serial numbers in a list of revoked certificates; ValueError if it is none."""
    return {revoked.serial_number for revoked in x509.load_pem_x509_crl(pem)}


def is_list_of(authority: Authority, pem: bytes) -> bool:
    """Return whether `pem` is a list of revoked certificates of `authority`."""
    try:
        listed = x509.load_pem_x509_crl(pem)
        return listed.is_signature_valid(authority.certificate.public_key())  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        extensions = certificate.extensions
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _load_ca_key(
    pem: bytes, where: str, passphrase: Callable[[], str]
) -> "CertificateIssuerPrivateKeyTypes":
    secret = passphrase() if b"ENCRYPTED" in pem else ""
    try:
        key = serialization.load_pem_private_key(pem, secret.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        wrong = "its passphrase is another" if b"ENCRYPTED" in pem else "it is none in PEM"
        raise UsageError(f"The CA's key {where} cannot be used: {wrong}.") from error
    return key  # type: ignore[return-value]


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey, passphrase: str = "") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption(),
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST_DAY)
        .not_valid_after(until)
    )


def _usage(
    digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
