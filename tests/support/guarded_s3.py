"""The S3 server with TLS and a token service of its own: roles, and identities from outside."""

from __future__ import annotations

import base64
import json
import secrets
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from slipway.local.processes import free_port
from slipway.local.s3_server import S3Server
from support.authority import Certificates, certificates
from support.local_http import local_http

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = "arn:aws:iam::123456789012:role/publisher"
POD_ROLE = "arn:aws:iam::123456789012:role/pod"
OTHER_ROLE = "arn:aws:iam::123456789012:role/nobody"
_AUDIENCE = "sts.amazonaws.com"


class GuardedS3(S3Server):
    """As `S3Server`; its plain endpoint answers too, and both are token services.

    Args:
        folder: Where everything goes.
        identities: Says who a token from outside belongs to.

    Attributes:
        identities: The same.
    """

    def __init__(self, folder: Path, identities: Identities) -> None:
        super().__init__(folder)
        self.identities = identities
        self._https_port = free_port()

    @property
    def https_url(self) -> str:
        """The endpoint with TLS."""
        return f"https://127.0.0.1:{self._https_port}"

    @cached_property
    def certificates(self) -> Certificates:
        """What a client of the endpoint with TLS has to trust."""
        return certificates(self.folder)

    def keys(self) -> tuple[str, str]:
        """Access key id and secret of the one who may everything."""
        secret = self._keys.secret_access_key
        assert self._keys.access_key_id is not None
        assert secret is not None
        return self._keys.access_key_id, secret.get_secret_value()

    def _command(self) -> list[str]:
        config = self.folder / "iam.json"
        config.write_text(json.dumps(self._iam()))
        return [
            *super()._command(),
            f"-s3.port.https={self._https_port}",
            f"-s3.cert.file={self.certificates.server}",
            f"-s3.key.file={self.certificates.key}",
            f"-s3.iam.config={config}",
        ]

    def _iam(self) -> dict[str, Any]:
        everything = {"Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": ["*"]}
        signing_key = base64.b64encode(secrets.token_bytes(32)).decode()
        return {
            "sts": {
                "issuer": "tests",
                "signingKey": signing_key,
                "tokenDuration": "1h",
                "maxSessionLength": "12h",
            },
            "policy": {"defaultEffect": "Deny", "storeType": "memory"},
            "roles": [
                _role(ROLE, {"AWS": "*"}, "sts:AssumeRole"),
                _role(POD_ROLE, {"Federated": "*"}, "sts:AssumeRoleWithWebIdentity"),
            ],
            "policies": [
                {
                    "name": "everything",
                    "document": {"Version": "2012-10-17", "Statement": [everything]},
                }
            ],
            "providers": [
                {
                    "name": "tests",
                    "type": "oidc",
                    "enabled": True,
                    "config": {
                        "issuer": self.identities.url,
                        "clientId": _AUDIENCE,
                        "jwksUri": f"{self.identities.url}/jwks",
                    },
                }
            ],
        }


class Identities:
    """Signs tokens for workloads, as Kubernetes does for a pod's service account.

    Attributes:
        url: Where its public keys are.
    """

    def __init__(self) -> None:
        self.url = ""
        self._key = rsa.generate_private_key(65537, 2048)

    def public_keys(self) -> dict[str, Any]:
        """What verifies its tokens."""
        own = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [own | {"kid": "1", "use": "sig", "alg": "RS256"}]}

    def token(self, *, lives: float = 600) -> str:
        """A token that is good for so many seconds."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": "system:serviceaccount:serving:sync",
            "aud": _AUDIENCE,
            "iat": now - 3600,
            "exp": int(now + lives),
        }
        return jwt.encode(claims, self._key, "RS256", headers={"kid": "1"})


@contextmanager
def guarded_s3() -> Iterator[GuardedS3]:
    """Runs both on free ports; takes them down with their data."""
    identities = Identities()
    with (
        TemporaryDirectory(prefix="guarded-") as folder,
        local_http(lambda _asked: (200, identities.public_keys())) as public,
    ):
        identities.url = public.url
        with GuardedS3(Path(folder), identities) as server:
            yield server


def _role(arn: str, principal: dict[str, str], action: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": [action]}
    name = arn.rpartition("/")[2]
    return {
        "roleName": name,
        "roleArn": f"arn:aws:iam::role/{name}",
        "trustPolicy": {"Version": "2012-10-17", "Statement": [statement]},
        "attachedPolicies": ["everything"],
    }
