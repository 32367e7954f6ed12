"""Whom a Google Cloud Storage bucket is asked as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google.auth
import google.auth.credentials
from google.auth import exceptions as auth
from google.auth import impersonated_credentials
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from slipway.errors import TerminalError
from slipway.storage.google_credentials import KEY_FILE, KEY_JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.storage.credentials import StoreCredentials

_SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write"]
# A machine that is not Google's is asked three times, with pauses, whether it is.
_DETECTION_SECONDS = 1.5


def identity(credentials: StoreCredentials) -> Any:
    """Whom to ask as; nothing is asked yet, except a machine whether it is Google's.

    Raises:
        TerminalError: The key is not one, cannot be read, or there is none, nor an identity of the
            platform. `subject` is the connection, or the variable.
    """
    google_ = credentials.google
    login: Any = google.auth  # its functions are untyped
    if google_.anonymous:
        return login.credentials.AnonymousCredentials()
    own = _own(credentials)
    if google_.impersonate:
        *delegates, target = google_.impersonate
        impersonated: Any = impersonated_credentials.Credentials
        own = impersonated(own, target, _SCOPES, delegates=delegates)
    return own.with_quota_project(google_.quota_project) if google_.quota_project else own


def _own(credentials: StoreCredentials) -> Any:
    text = _key_text(credentials)
    if text is None:
        return _of_platform(credentials)
    try:
        key = json.loads(text)
        if key["type"] == "service_account":
            account: Any = service_account.Credentials
            return account.from_service_account_info(key, scopes=_SCOPES)
        login: Any = google.auth
        # Given the scopes at once, it would ask Google for the name of the project.
        found = login.load_credentials_from_dict(key)[0]
        return login.credentials.with_scopes_if_required(found, _SCOPES)
    except (ValueError, TypeError, KeyError, auth.GoogleAuthError):
        # The parser's own words may quote the key.
        raise TerminalError(
            f"The Google credentials in {_named(credentials)} are no key that can be read.",
            hint="Give a service account's JSON key, or a workload identity configuration.",
            subject=credentials.connection or _variable(credentials),
        ) from None


def _of_platform(credentials: StoreCredentials) -> Any:
    login: Any = google.auth
    try:
        return login.default(scopes=_SCOPES, request=_Detection())[0]
    except auth.DefaultCredentialsError:
        holder = (
            f" The connection {credentials.connection} has none." if credentials.connection else ""
        )
        raise TerminalError(
            f"No Google credentials are given, and this machine has no service account.{holder}",
            hint=f"Let {KEY_FILE} name a service account's key file, run `gcloud auth "
            "application-default login`, or give this machine or pod a service account; in "
            "Airflow, the connection's keyfile_dict or key_path.",
            subject=credentials.connection or KEY_FILE,
        ) from None


class _Detection(Request):
    """Waits only so long for the metadata server of a machine that may have none."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = _DETECTION_SECONDS,
        **more: Any,
    ) -> Any:
        ask: Any = super().__call__
        return ask(url, method, body, headers, min(timeout, _DETECTION_SECONDS), **more)


def _key_text(credentials: StoreCredentials) -> str | None:
    google_ = credentials.google
    if google_.key_json is not None:
        return google_.key_json.get_secret_value()
    if google_.key_file is None:
        return None
    try:
        return Path(google_.key_file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is no text"
        raise TerminalError(
            f"The Google credentials in {_named(credentials)} cannot be read: {problem}.",
            hint=f"Correct {credentials.named('key_path', KEY_FILE)}.",
            subject=credentials.connection or KEY_FILE,
        ) from None


def _named(credentials: StoreCredentials) -> str:
    google_ = credentials.google
    if google_.key_json is not None:
        return credentials.named("keyfile_dict", KEY_JSON)
    return f"{google_.key_file} ({credentials.named('key_path', KEY_FILE)})"


def _variable(credentials: StoreCredentials) -> str:
    return KEY_JSON if credentials.google.key_json is not None else KEY_FILE
