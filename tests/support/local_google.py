"""Google's token services on loopback: they check who asks, and give tokens for it."""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.local_http import Answer, Asked, LocalHttp, local_http

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "publisher@models.iam.gserviceaccount.com"
SUBJECT_TOKEN = "of the cluster"
_LIVES_SECONDS = 3600
# Google's clients write it into every assertion, wherever they send that.
_AUDIENCE = "https://oauth2.googleapis.com/token"


class LocalGoogle:
    """One project with one service account.

    Attributes:
        token: What it gives to whoever proves to be that account.
        become: The token of an account that is impersonated.
        refuses: Whether nobody may impersonate.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(16)
        self.become = secrets.token_urlsafe(16)
        self.refuses = False
        self._key = rsa.generate_private_key(65537, 2048)

    @cached_property
    def http(self) -> LocalHttp:
        """Where it answers; set when it runs."""
        message = "it does not run"
        raise RuntimeError(message)

    @property
    def url(self) -> str:
        """Its address."""
        return self.http.url

    def key(self) -> dict[str, str]:
        """The account's key, as the console has it for download."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {
            "type": "service_account",
            "project_id": "models",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": f"{self.url}/token",
        }

    def workload_identity(self, token_file: str) -> dict[str, Any]:
        """The configuration with which a workload elsewhere becomes an identity here."""
        return {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.url}/exchange",
            "credential_source": {"file": token_file},
        }

    def answer(self, asked: Asked) -> Answer:
        """As the services answer."""
        if asked.path == "/token":
            return self._for_signature(asked)
        if asked.path == "/exchange":
            return self._for_workload(asked)
        if "generateAccessToken" in asked.path:
            return self._for_impersonation(asked)
        return self._metadata(asked)

    def _for_signature(self, asked: Asked) -> Answer:
        assertion = parse_qs(asked.body.decode())["assertion"][0]
        try:
            claims = jwt.decode(assertion, self._key.public_key(), ["RS256"], audience=_AUDIENCE)
        except jwt.PyJWTError as error:
            return 400, {"error": "invalid_grant", "error_description": str(error)}
        assert claims["iss"] == ACCOUNT
        return 200, self._bearer()

    def _for_workload(self, asked: Asked) -> Answer:
        if parse_qs(asked.body.decode())["subject_token"] != [SUBJECT_TOKEN]:
            return 400, {"error": "invalid_grant", "error_description": "no such subject"}
        kind = "urn:ietf:params:oauth:token-type:access_token"
        return 200, self._bearer() | {"issued_token_type": kind}

    def _for_impersonation(self, asked: Asked) -> Answer:
        if self.refuses or asked.headers["authorization"] != f"Bearer {self.token}":
            return 403, {"error": {"code": 403, "status": "PERMISSION_DENIED"}}
        ends = datetime.now(UTC) + timedelta(seconds=_LIVES_SECONDS)
        return 200, {"accessToken": self.become, "expireTime": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _metadata(self, asked: Asked) -> Answer:
        path = asked.path.partition("?")[0].rstrip("/")
        if path.endswith("/token"):
            return 200, self._bearer()
        if path.endswith("/project-id"):
            return 200, "models"
        if "service-accounts" in path:
            return 200, {"email": ACCOUNT, "aliases": ["default"], "scopes": ["all"]}
        return (200, "") if path in {"", "/computeMetadata/v1"} else (404, "")

    def _bearer(self) -> dict[str, Any]:
        return {"access_token": self.token, "expires_in": _LIVES_SECONDS, "token_type": "Bearer"}


@contextmanager
def local_google() -> Iterator[LocalGoogle]:
    """Runs them on a free port."""
    google = LocalGoogle()
    headers = {"Metadata-Flavor": "Google", "Content-Type": "application/json"}
    with local_http(google.answer, **headers) as http:
        google.http = http
        yield google


def as_text(key: dict[str, Any]) -> str:
    """A key as its file has it."""
    return json.dumps(key, indent=2)
