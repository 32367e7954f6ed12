"""Whom a Google Cloud Storage bucket is asked as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google.auth
import google.auth.credentials
from google.auth import exceptions as auth
from google.oauth2 import service_account

from slipway.errors import TerminalError
from slipway.storage.google_credentials import KEY_JSON

if TYPE_CHECKING:
    from slipway.storage.google_credentials import GoogleCredentials

_SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write"]


def identity(google_: GoogleCredentials) -> Any:
    """Whom to ask as.

    Raises:
        TerminalError: The key is not one.
        GoogleAuthError: There is none, nor an identity of the platform.
    """
    login: Any = google.auth  # its functions are untyped
    if google_.anonymous:
        return login.credentials.AnonymousCredentials()
    text = _key_text(google_)
    if text is None:
        return login.default(scopes=_SCOPES)[0]
    try:
        key = json.loads(text)
        if key["type"] == "service_account":
            account: Any = service_account.Credentials
            return account.from_service_account_info(key, scopes=_SCOPES)
        return login.load_credentials_from_dict(key, scopes=_SCOPES)[0]
    except (ValueError, TypeError, KeyError, auth.DefaultCredentialsError):
        where = KEY_JSON if google_.key_json is not None else google_.key_file
        # The parser's own words may quote the key.
        raise TerminalError(
            f"The Google credentials in {where} are no key that can be read.",
            hint="Give a service account's JSON key, or a workload identity configuration.",
            subject=where,
        ) from None


def _key_text(google_: GoogleCredentials) -> str | None:
    if google_.key_json is not None:
        return google_.key_json.get_secret_value()
    if google_.key_file is None:
        return None
    try:
        return Path(google_.key_file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TerminalError(
            f"The Google credentials in {google_.key_file} cannot be read: {error}.",
            hint="Correct GOOGLE_APPLICATION_CREDENTIALS, or the connection's key_path.",
            subject=google_.key_file,
        ) from None
