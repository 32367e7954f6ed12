"""Who a Google Cloud Storage bucket is opened as; the key never shows in a repr or a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, SecretStr

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_JSON = "SLIPWAY_GOOGLE_KEYFILE_JSON"
KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
EMULATOR = "STORAGE_EMULATOR_HOST"
_ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"
_PROJECT = "GOOGLE_CLOUD_PROJECT"
_QUOTA_PROJECT = "GOOGLE_CLOUD_QUOTA_PROJECT"
# As the gcloud command has it: the account to become comes last, those on the way before it.
_IMPERSONATE = "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"


class GoogleCredentials(BaseModel):
    """Key and address for Google Cloud Storage.

    Attributes:
        key_json: A service account's key, or a workload identity configuration, as JSON text.
        key_file: A file with the same; without either the platform's identity is asked:
            application default credentials, the metadata server.
        impersonate: Service accounts to become, one after another; the last one asks.
        project: Named in requests; most need none.
        quota_project: Billed for requests, where that is not the account's own project.
        endpoint_url: None means Google itself.
        anonymous: Whether to send no credentials at all: a public bucket, or a local server.
    """

    # What is not valid may be a secret in the wrong field.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key_json: SecretStr | None = None
    key_file: str | None = None
    impersonate: tuple[str, ...] = ()
    project: str | None = None
    quota_project: str | None = None
    endpoint_url: str | None = None
    anonymous: bool = False

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> GoogleCredentials:
        """Reads the standard Google variables; empty counts as unset.

        GOOGLE_APPLICATION_CREDENTIALS, CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT (accounts with
        commas between them), GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_QUOTA_PROJECT,
        STORAGE_EMULATOR_HOST (an endpoint that takes no credentials) before
        CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE (one that does), and before all
        SLIPWAY_GOOGLE_KEYFILE_JSON, a key as text.
        """
        emulator = env.get(EMULATOR) or None
        if emulator is not None and "://" not in emulator:
            emulator = f"http://{emulator}"
        return cls.model_validate(
            {
                "key_json": env.get(KEY_JSON) or None,
                "key_file": env.get(KEY_FILE) or None,
                "impersonate": _listed(env.get(_IMPERSONATE) or ""),
                "project": env.get(_PROJECT) or None,
                "quota_project": env.get(_QUOTA_PROJECT) or None,
                "endpoint_url": emulator or env.get(_ENDPOINT) or None,
                "anonymous": emulator is not None,
            }
        )

    def to_environment(self) -> dict[str, str]:
        """Returns the variables for a child process; hand them over, never log them."""
        values = {
            KEY_JSON: self.key_json.get_secret_value() if self.key_json else None,
            KEY_FILE: self.key_file,
            _IMPERSONATE: ",".join(self.impersonate),
            _PROJECT: self.project,
            _QUOTA_PROJECT: self.quota_project,
            (EMULATOR if self.anonymous else _ENDPOINT): self.endpoint_url,
        }
        return {name: value for name, value in values.items() if value}


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())
