"""Whom S3 is asked as, and whose certificate is believed.

Keys that are given come first, then a profile that is named, then what the platform says: web
identity, Amazon's configuration files, the container's role, the instance's role. obstore asks the
platform itself and renews what runs out; for profiles and files boto3 does.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from slipway.errors import TerminalError
from slipway.storage.credentials import CA_BUNDLE
from slipway.storage.s3_login_errors import NO_KEYS_HINT

if TYPE_CHECKING:
    from obstore import store

    from slipway.storage.credentials import StoreCredentials

_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
_METADATA = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_CONTAINER = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


@dataclass(frozen=True)
class Login:
    """What obstore's S3Store is told.

    Attributes:
        config: Region, endpoint.
        client: How connections are made.
        provider: Gives the keys; None leaves it to obstore, which asks the platform.
    """

    config: store.S3Config
    client: store.ClientConfig
    provider: store.S3CredentialProvider | None


def login(credentials: StoreCredentials) -> Login:
    """Settles it; nothing is contacted.

    Raises:
        TerminalError: There is no such profile, boto3 would be needed and is not installed, a file
            cannot be read, or there is nothing to ask with. `subject` is the connection, or the
            variable.
    """
    if credentials.access_key_id is None and not credentials.anonymous:
        if _needs_boto3(credentials):
            return _by_profile(credentials)
        _expect_platform(credentials)
    return Login(_config(credentials), _client(credentials), _keys(credentials))


def no_keys(where: str, credentials: StoreCredentials | None = None) -> TerminalError:
    """The error of who has nothing to ask with."""
    connection = credentials.connection if credentials else None
    holder = f" The connection {connection} has none either." if connection else ""
    return TerminalError(
        f"No keys are given for {where}, and no role or profile.{holder}",
        hint=NO_KEYS_HINT,
        subject=connection or "AWS_ACCESS_KEY_ID",
    )


def wrong_setting(error: Exception, credentials: StoreCredentials) -> TerminalError:
    """The error of settings that obstore does not take."""
    names = [credentials.named("endpoint_url", "AWS_ENDPOINT_URL_S3")]
    if credentials.ca_bundle is not None and credentials.verify:
        names.append(f"{credentials.ca_bundle} ({credentials.named('verify', CA_BUNDLE)})")
    gist = str(error).partition("\n")[0].rstrip(".")
    return TerminalError(
        f"S3 cannot be asked as it is set: {gist}.",
        hint=f"Check {' and '.join(names)}.",
        subject=credentials.connection or "AWS_ENDPOINT_URL_S3",
    )


def _keys(credentials: StoreCredentials) -> store.S3CredentialProvider | None:
    key, secret = credentials.access_key_id, credentials.secret_access_key
    if key is None:
        return None
    if secret is None:
        name = credentials.named("password", "AWS_SECRET_ACCESS_KEY")
        raise TerminalError(
            f"An S3 access key is given without its secret: {name} is empty.",
            hint=f"Set {name}.",
            subject=credentials.connection or "AWS_SECRET_ACCESS_KEY",
        )
    token = credentials.session_token

    # As settings, obstore would complete them by a token that happens to be in the environment.
    def given() -> store.S3Credential:
        return {
            "access_key_id": key,
            "secret_access_key": secret.get_secret_value(),
            "token": token.get_secret_value() if token else None,
            "expires_at": None,
        }

    return given


def _config(credentials: StoreCredentials) -> store.S3Config:
    # What is not said here, obstore takes from the environment, given credentials or not.
    config: store.S3Config = {
        "region": credentials.region or "us-east-1",
        "skip_signature": credentials.anonymous,
    }
    if credentials.endpoint_url is not None:
        _require_address(credentials, credentials.endpoint_url)
        # The one name that no variable of the environment takes precedence over.
        config["aws_endpoint_url_s3"] = credentials.endpoint_url.rstrip("/")
    if metadata := os.environ.get(_METADATA):
        config["metadata_endpoint"] = metadata.rstrip("/")
    return config


def _require_address(credentials: StoreCredentials, endpoint: str) -> None:
    """The client would end the process on what is no address."""
    try:
        parts = urlsplit(endpoint)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        whole = False
    if not whole or endpoint != endpoint.strip():
        name = credentials.named("endpoint_url", "AWS_ENDPOINT_URL_S3")
        raise TerminalError(
            f"{endpoint!r} is no address of an S3 server.",
            hint=f"Write http:// or https://, host and port into {name}.",
            subject=credentials.connection or "AWS_ENDPOINT_URL_S3",
        )


def _client(credentials: StoreCredentials) -> store.ClientConfig:
    allow_http, endpoint = credentials.allow_http, credentials.endpoint_url
    if allow_http is None:
        allow_http = endpoint is not None and endpoint.startswith("http://")
    client: store.ClientConfig = {"allow_http": allow_http}
    if not credentials.verify:
        client["allow_invalid_certificates"] = True
    elif credentials.ca_bundle is not None:
        client["root_certificate"] = _authorities(credentials, credentials.ca_bundle)
    return client


def _authorities(credentials: StoreCredentials, bundle: str) -> bytes:
    name = credentials.named("verify", CA_BUNDLE)
    try:
        pem = Path(bundle).read_bytes()
    except OSError as error:
        problem = error.strerror or type(error).__name__
    else:
        if b"-----BEGIN CERTIFICATE-----" in pem:
            return pem
        problem = "it holds no certificate in PEM form"
    raise TerminalError(
        f"The CA bundle {bundle} ({name}) cannot be read: {problem}.",
        hint=f"Let {name} name a PEM file with the authority that signed the server's certificate.",
        subject=credentials.connection or CA_BUNDLE,
    )


def _needs_boto3(credentials: StoreCredentials) -> bool:
    if credentials.profile:
        return True
    if _web_identity():
        return False
    if importlib.util.find_spec("boto3") is not None and _files():
        return True
    # Only with a token in a file does obstore ask such an endpoint.
    return bool(os.environ.get(_CONTAINER)) and not os.environ.get(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
    )


def _files() -> list[Path]:
    named = (Path(os.environ.get(name) or usual) for name, usual in _FILES.items())
    return [found for path in named if (found := path.expanduser()).is_file()]


def _web_identity() -> bool:
    return all(os.environ.get(name) for name in ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"))


def _by_profile(credentials: StoreCredentials) -> Login:
    try:
        from slipway.storage.s3_profile import Profile
    except ModuleNotFoundError as error:
        asked = f"AWS_PROFILE={credentials.profile}" if credentials.profile else _CONTAINER
        raise TerminalError(
            f"{asked} needs the Python package {error.name}, which is not installed.",
            hint="pip install '.[profiles]' in Slipway's checkout, or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY.",
            subject="AWS_PROFILE" if credentials.profile else _CONTAINER,
        ) from None
    profile = Profile(credentials)
    completed = credentials.model_copy(update=profile.settings())
    if profile.is_empty():
        _expect_platform(completed)
        return Login(_config(completed), _client(completed), None)
    return Login(_config(completed), _client(completed), profile)


def _expect_platform(credentials: StoreCredentials) -> None:
    """Refuses at once what could only end in a long wait for an answer that never comes."""
    if _web_identity():
        _check_token_file()
        return
    asks_container = os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or os.environ.get(
        _CONTAINER
    )
    if asks_container or os.environ.get(_METADATA):
        return
    endpoint = credentials.endpoint_url
    off = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    # A role of the machine is Amazon's; no other server knows it.
    if off or (endpoint is not None and not _is_amazon(endpoint)):
        raise no_keys(f"the S3 endpoint {endpoint}" if endpoint else "S3", credentials)


def _is_amazon(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _check_token_file() -> None:
    path = os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"]
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise TerminalError(
            f"The web identity token {path} cannot be read: {error.strerror}.",
            hint="Correct AWS_WEB_IDENTITY_TOKEN_FILE; on Kubernetes the service account's "
            "annotation sets it.",
            subject="AWS_WEB_IDENTITY_TOKEN_FILE",
        ) from None
