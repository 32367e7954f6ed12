"""An Amazon connection as environment variables; the values are secrets, never log them.

The amazon provider's own hook says what its fields mean, and assumes roles. A role's keys last as
long as it was assumed for (an hour, or `assume_role_kwargs.DurationSeconds`): every task assumes it
anew, and a publish that takes longer needs the longer time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slipway.errors import SlipwayError, TerminalError
from slipway.storage.credentials import CA_BUNDLE, VERIFY, StoreCredentials
from slipway_airflow.hooks.extra import extra_of

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from airflow.sdk import Connection


def aws_environment(connection: Connection) -> dict[str, str]:
    """The AWS variables for a bucket.

    Login and password, or the same in the extra field, with aws_session_token; profile_name;
    role_arn with assume_role_method and assume_role_kwargs; region_name; endpoint_url, of S3 alone
    in service_config; verify; config_kwargs.signature_version `unsigned`. With neither keys nor
    profile nor role the worker's own identity is left to speak.

    Raises:
        TerminalError: A field is wrong, or the role is refused; `subject` is the connection.
        TransientError: The token service does not answer.
    """
    # A worker imports boto3 only for a task that has a bucket.
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

    name = connection.conn_id
    extra = extra_of(connection)
    if bool(connection.login) != bool(connection.password):
        given, lacks = ("login", "password") if connection.login else ("password", "login")
        raise TerminalError(
            f"the connection {name} has a {given} and no {lacks}",
            hint="login is the access key id, password the secret access key: set both or none",
            subject=name,
        )
    try:
        found = _resolved(AwsBaseHook(name, client_type="s3"))
    except (SlipwayError, ValidationError):
        raise
    except Exception as error:  # noqa: BLE001 - the provider raises whatever a wrong field leads to
        raise _told(error, name, extra) from None
    return _environment(found, extra.get("verify"))


def _resolved(hook: AwsBaseHook) -> StoreCredentials:
    config = hook.conn_config
    unsigned = getattr(config.botocore_config, "signature_version", None)
    found: dict[str, Any] = {
        "region": config.region_name,
        "endpoint_url": config.get_service_endpoint_url("s3") or None,
        # botocore keeps the word "unsigned" as an object of its own.
        "anonymous": unsigned is not None and not isinstance(unsigned, str),
        "verify": config.verify is not False,
        "ca_bundle": config.verify if isinstance(config.verify, str) else None,
    }
    if config.aws_access_key_id or config.profile_name or config.role_arn:
        from slipway.storage.s3_profile import own_endpoint

        session = hook.get_session(region_name=config.region_name)
        keys = hook.get_credentials(region_name=config.region_name)
        found |= {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "session_token": keys.token,
            "region": session.region_name,
        }
        if config.profile_name and not found["endpoint_url"]:
            found["endpoint_url"] = own_endpoint(session)
    return StoreCredentials.model_validate(found)


def _environment(credentials: StoreCredentials, verify: Any) -> dict[str, str]:
    environment = credentials.to_environment()
    if credentials.access_key_id:
        # Keys of the connection must not be completed by a token of the worker's own identity.
        environment.setdefault("AWS_SESSION_TOKEN", "")
    if verify is not None:
        # Nor its word on certificates by the worker's.
        environment = {VERIFY: "", CA_BUNDLE: ""} | environment
    return environment


def _told(error: Exception, name: str, extra: dict[str, Any]) -> SlipwayError:
    from botocore import exceptions as aws

    from slipway.storage.s3_profile import told

    field = "role_arn" if extra.get("role_arn") else "profile_name"
    if isinstance(error, aws.BotoCoreError | aws.ClientError):
        return told(error, f"{field} of the connection {name}")
    first_line = str(error).partition("\n")[0]
    return TerminalError(
        f"the connection {name} cannot be used: {type(error).__name__}: {first_line}",
        hint="correct its fields as the amazon provider's documentation has them",
        subject=name,
    )
