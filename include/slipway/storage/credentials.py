"""Who a store is opened as; secrets never show in a repr, a log or a traceback."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, SecretStr

from slipway.storage.google_credentials import GoogleCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping


# Set beside the credentials that an Airflow connection gave, so that errors can name it.
CONNECTION = "SLIPWAY_BUCKET_CONNECTION"
CA_BUNDLE = "AWS_CA_BUNDLE"
# Amazon's SDKs have no variable for it.
VERIFY = "SLIPWAY_S3_VERIFY"
_ANONYMOUS = "AWS_SKIP_SIGNATURE"
_NO = {"0", "false", "no", "off"}


class StoreCredentials(BaseModel):
    """Keys and address of an object store: Amazon's here, Google's in `google`.

    Attributes:
        access_key_id: None leaves it to `profile` or the platform's identity (web identity,
            container or instance role).
        secret_access_key: Belongs to `access_key_id`.
        session_token: Of temporary keys.
        profile: A section of Amazon's configuration files, asked where there is no key.
        anonymous: Whether to sign nothing: a public bucket.
        region: The bucket's region.
        endpoint_url: None means AWS itself.
        allow_http: Whether plain HTTP may be spoken; None: if `endpoint_url` says ``http://``.
        verify: Whether the server's certificate must be valid.
        ca_bundle: A PEM file of authorities to trust beside the system's own.
        google: For ``gs://``.
        connection: The Airflow connection that all this is from, if it is; for error messages.
    """

    # What is not valid may be a secret in the wrong field.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    profile: str | None = None
    anonymous: bool = False
    region: str | None = None
    endpoint_url: str | None = None
    allow_http: bool | None = None
    verify: bool = True
    ca_bundle: str | None = None
    google: GoogleCredentials = GoogleCredentials()
    connection: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> StoreCredentials:
        """Reads the standard AWS variables, and Google's: see `GoogleCredentials`.

        AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE before
        AWS_DEFAULT_PROFILE, AWS_REGION before AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3 before
        AWS_ENDPOINT_URL, AWS_CA_BUNDLE, AWS_SKIP_SIGNATURE (``true``: a public bucket), and
        SLIPWAY_S3_VERIFY (``false``: any certificate will do). Empty counts as unset.

        Args:
            environ: Defaults to the environment of this process.
        """
        env = os.environ if environ is None else environ
        return cls.model_validate(
            {
                "access_key_id": env.get("AWS_ACCESS_KEY_ID") or None,
                "secret_access_key": env.get("AWS_SECRET_ACCESS_KEY") or None,
                "session_token": env.get("AWS_SESSION_TOKEN") or None,
                "profile": env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or None,
                "anonymous": (env.get(_ANONYMOUS) or "no").lower() not in _NO,
                "region": env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or None,
                "endpoint_url": env.get("AWS_ENDPOINT_URL_S3")
                or env.get("AWS_ENDPOINT_URL")
                or None,
                "verify": (env.get(VERIFY) or "yes").lower() not in _NO,
                "ca_bundle": env.get(CA_BUNDLE) or None,
                "google": GoogleCredentials.from_environment(env),
                "connection": env.get(CONNECTION) or None,
            }
        )

    def to_environment(self) -> dict[str, str]:
        """Returns the variables for a child process; hand them over, never log them."""
        values = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": _plain(self.secret_access_key),
            "AWS_SESSION_TOKEN": _plain(self.session_token),
            "AWS_PROFILE": self.profile,
            _ANONYMOUS: "true" if self.anonymous else None,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            VERIFY: None if self.verify else "false",
            CA_BUNDLE: self.ca_bundle,
            CONNECTION: self.connection,
            **self.google.to_environment(),
        }
        return {name: value for name, value in values.items() if value}

    def named(self, field: str, variable: str) -> str:
        """Where a setting is from, for a message: a field of the connection, or a variable."""
        return f"{field} of the connection {self.connection}" if self.connection else variable


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
