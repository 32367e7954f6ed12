"""Keys of a role, from the server's own token service, as the parts of a cloud hand them on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3

from support.guarded_s3 import ROLE

if TYPE_CHECKING:
    from support.guarded_s3 import GuardedS3
    from support.local_http import Answer, Asked


def temporary_keys(server: GuardedS3) -> dict[str, str]:
    """AccessKeyId, SecretAccessKey and SessionToken, for an hour."""
    key, secret = server.keys()
    service = boto3.client(
        "sts",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )
    keys: dict[str, str] = service.assume_role(RoleArn=ROLE, RoleSessionName="tests")["Credentials"]
    return {name: keys[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}


def metadata(server: GuardedS3, asked: Asked, *, lives: float = 3600) -> Answer:
    """As the metadata service of an instance, and the agent of a container, answers.

    It says that its keys live for so many seconds.
    """
    if asked.path == "/latest/api/token":
        return 200, "a session"
    if asked.path.endswith("/security-credentials/"):
        return 200, "machine"
    keys = temporary_keys(server)
    return 200, {
        "Code": "Success",
        "AccessKeyId": keys["AccessKeyId"],
        "SecretAccessKey": keys["SecretAccessKey"],
        "Token": keys["SessionToken"],
        "Expiration": _after(lives),
    }


def assumed(server: GuardedS3) -> Answer:
    """As the token service answers AssumeRole."""
    keys = temporary_keys(server) | {"Expiration": _after(3600)}
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in keys.items())
    return 200, (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>'
        f"<Credentials>{fields}</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )


def _after(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
