"""A profile of Amazon's configuration files, by boto3: keys, roles, single sign-on, processes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3.session
import botocore.session
from botocore import exceptions as aws
from obstore.auth.boto3 import Boto3CredentialProvider

from slipway.errors import SlipwayError, TerminalError, TransientError

if TYPE_CHECKING:
    from obstore.store import S3Credential

    from slipway.storage.credentials import StoreCredentials

# boto3 hands out no keys of a role that run out within 10 minutes; so long they may be kept.
_ASK_AGAIN = timedelta(minutes=10)
_FIRST_SERVER_ERROR = 500
_THROTTLED = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
_PASSING = (
    aws.HTTPClientError,
    aws.EndpointConnectionError,
    aws.ConnectionError,
    aws.MetadataRetrievalError,
)
_HINTS = {
    "AccessDenied": "Let the role's trust policy name who asks, and the external id.",
    "ExpiredToken": "Get new temporary keys: these have expired.",
    "ExpiredTokenException": "Get new temporary keys: these have expired.",
    "InvalidClientTokenId": "Check the access key id: Amazon does not know it.",
    "InvalidAccessKeyId": "Check the access key id: it is not known.",
    "SignatureDoesNotMatch": "Check the secret access key: it does not belong to the key's id.",
    "ValidationError": "Correct role_arn and what goes with it.",
}


class Profile:
    """Gives obstore the keys of a profile, renewed by boto3 before they run out.

    Args:
        credentials: `profile` names the section; None takes the default one.

    Raises:
        TerminalError: There is no such profile, or its files cannot be read.
    """

    def __init__(self, credentials: StoreCredentials) -> None:
        self._who = credentials.named("profile_name", "AWS_PROFILE")
        self._given = credentials
        try:
            self._session: Any = boto3.session.Session(profile_name=credentials.profile)
            self._provider = self._load()
        except aws.BotoCoreError as error:
            raise told(error, self._who) from None

    def _load(self) -> Boto3CredentialProvider | None:
        if self._session.get_credentials() is None:
            return None
        return Boto3CredentialProvider(self._session, ttl=_ASK_AGAIN)

    def is_empty(self) -> bool:
        """Whether no keys are to be had this way."""
        return self._provider is None

    def settings(self) -> dict[str, Any]:
        """Region, endpoint and CA bundle of the profile, where the environment has none."""
        given, session = self._given, self._session
        section = botocore.session.Session(profile=given.profile).get_scoped_config()
        found = {
            "region": given.region or session.region_name,
            "endpoint_url": given.endpoint_url or own_endpoint(session),
            "ca_bundle": given.ca_bundle or section.get("ca_bundle"),
        }
        return {name: value for name, value in found.items() if value}

    def __call__(self) -> S3Credential:
        """The keys.

        Raises:
            SlipwayError: They cannot be had; obstore hands on its words.
        """
        if self._provider is None:
            raise told(aws.NoCredentialsError(), self._who)
        try:
            return self._provider()
        except (aws.BotoCoreError, aws.ClientError) as error:
            raise told(error, self._who) from None


def own_endpoint(session: Any) -> str | None:
    """The S3 endpoint that a boto3 session is configured with; None if it is Amazon's own."""
    client = session.client(
        "s3",
        region_name=session.region_name or "us-east-1",
        # Only asked for its address.
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106
    )
    address = str(client.meta.endpoint_url)
    host = urlsplit(address).hostname or ""
    return None if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else address


def told(error: Exception, who: str) -> SlipwayError:
    """What an error of boto3 means for whoever gave the profile, role or keys.

    Args:
        error: As boto3 raised it.
        who: The connection, or the variable, that it is about.
    """
    text = str(error).partition("\n")[0].rstrip(".")
    message = f"No keys for S3 could be had by {who}: {text}."
    subject = who.rpartition(" ")[2]
    if isinstance(error, aws.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if status >= _FIRST_SERVER_ERROR or code in _THROTTLED:
            return _passing(message, subject)
        hint = _HINTS.get(code, "Check the role, and that these keys may assume it.")
        return TerminalError(message, hint=hint, subject=subject, details={"code": code})
    if isinstance(error, _PASSING) and not isinstance(error, aws.SSLError):
        return _passing(message, subject)
    hint = f"Correct {who}, or the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name."
    if isinstance(error, aws.SSLError):
        hint = "Set AWS_CA_BUNDLE to the authority that signed the certificate."
    return TerminalError(message, hint=hint, subject=subject)


def _passing(message: str, subject: str) -> TransientError:
    return TransientError(
        message,
        hint="Check that Amazon's token service can be reached, then run the task again.",
        subject=subject,
    )
