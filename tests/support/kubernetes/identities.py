"""Who is who in a cluster: its authority, its certificates, and a kubeconfig for each client."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ADMINISTRATORS = "system:masters"


class Identities:
    """PEM files and kubeconfigs in a folder; valid from an hour ago for two days.

    Args:
        folder: Where they are written.
        api_server: Its URL.
    """

    def __init__(self, folder: Path, api_server: str) -> None:
        folder.mkdir()
        folder.chmod(0o700)
        self.folder = folder
        self._api_server = api_server
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("a test cluster's authority", ())
        root = self._certificate(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.authority.write_bytes(root.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    @property
    def authority(self) -> Path:
        """The certificate that all trust."""
        return self.folder / "authority.pem"

    def key_pair(self, name: str) -> tuple[Path, Path]:
        """A key to sign tokens with, and its public half."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = self.folder / f"{name}.pub"
        public.write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        return self._write_key(name, key), public

    def server(self, name: str, addresses: Sequence[str]) -> tuple[Path, Path]:
        """A server's certificate and key.

        Args:
            name: Of the files.
            addresses: IP addresses and DNS names that it goes by.
        """
        names = [_general_name(address) for address in addresses]
        return self._issue(name, _name(name, ()), x509.SubjectAlternativeName(names))

    def client(self, name: str, groups: Sequence[str] = ()) -> tuple[Path, Path]:
        """A client's certificate and key.

        Args:
            name: The user's, as RBAC knows it.
            groups: The user's.
        """
        return self._issue(name.rpartition(":")[2], _name(name, groups), None)

    def administrator(self) -> Path:
        """A kubeconfig that may do all."""
        return self.kubeconfig("administrator", [_ADMINISTRATORS])

    def kubeconfig(self, name: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for a client of that name and these groups."""
        certificate, key = self.client(name, groups)
        file = certificate.with_suffix(".kubeconfig")
        cluster = {"server": self._api_server, "certificate-authority": str(self.authority)}
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": name}}],
            "current-context": "tests",
        }
        file.write_text(json.dumps(content, indent=2))
        file.chmod(0o600)
        return file

    def _issue(
        self, name: str, subject: x509.Name, names: x509.SubjectAlternativeName | None
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        made = self._certificate(subject, key.public_key()).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if names:
            made = made.add_extension(names, critical=False)
        certificate = self.folder / f"{name}.pem"
        certificate.write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        return certificate, self._write_key(name, key)

    def _write_key(self, name: str, key: ec.EllipticCurvePrivateKey) -> Path:
        file = self.folder / f"{name}.key"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.chmod(0o600)
        return file

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
        )


def _name(user: str, groups: Sequence[str]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(address))
    except ValueError:
        return x509.DNSName(address)
