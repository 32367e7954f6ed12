"""What docker-compose.yaml tells Airflow and the steps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.local.airflow import AirflowLayout
from support.compose import compose
from support.specs import PROJECT

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
AIRFLOW = ("init", "api-server", "scheduler", "dag-processor", "triggerer")
ENVIRONMENT: dict[str, str] = SERVICES["scheduler"]["environment"]
LOCAL = AirflowLayout(Path("/home"), PROJECT, PROJECT / "dags", 1).environment({})

# Where compose says something else than the stack of one machine, and why.
DIFFERENT = {
    "AIRFLOW_HOME": "a volume",
    "AIRFLOW__CORE__DAGS_FOLDER": "a path in the image",
    "AIRFLOW__CORE__PLUGINS_FOLDER": "a path in the image",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "the API server is another machine",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "Postgres",
    "AIRFLOW__API__BASE_URL": "a fixed port",
}
LEFT_OUT = {
    "AIRFLOW__API__HOST": "a flag of the API server",
    "AIRFLOW__API__PORT": "a flag of the API server",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "others use the machine: there is a login",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "only a demo is in such a hurry",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "only a demo is in such a hurry",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "only a demo is in such a hurry",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "only a demo is that small",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "only a demo is in such a hurry",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "only a demo is in such a hurry",
}

# Every variable that the code names, and what gives it in containers.
GIVEN_BY = {
    "AWS_ACCESS_KEY_ID": "AIRFLOW_CONN_AWS_DEFAULT",
    "AWS_SECRET_ACCESS_KEY": "AIRFLOW_CONN_AWS_DEFAULT",
    "AWS_REGION": "AIRFLOW_CONN_AWS_DEFAULT",
    "AWS_ENDPOINT_URL_S3": "AIRFLOW_CONN_AWS_DEFAULT",
    "SLIPWAY_MODEL_SERVER_URL": "AIRFLOW_CONN_MODEL_SERVER_DEFAULT",
    "SLIPWAY_MODEL_CONFIG_FILE": "AIRFLOW_CONN_MODEL_SERVER_DEFAULT",
    "SLIPWAY_PROMETHEUS_URL": "AIRFLOW_CONN_PROMETHEUS_DEFAULT",
    "SLIPWAY_MODEL_BASE_PATH": "AIRFLOW_CONN_MODEL_SERVER_DEFAULT",
    "SLIPWAY_WORKSPACE": "SLIPWAY_WORKSPACE",
}
NOT_GIVEN = {
    "AWS_DEFAULT_REGION": "AWS_REGION comes first",
    "AWS_ENDPOINT_URL": "AWS_ENDPOINT_URL_S3 comes first",
    "AWS_SHARED_CREDENTIALS_FILE": "the keys are given, and come first",
    "AWS_SESSION_TOKEN": "the keys are not temporary",
    **dict.fromkeys(
        (
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_CONFIG_FILE",
            "AWS_ROLE_ARN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_EC2_METADATA_DISABLED",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        ),
        "the keys are given, and come first",
    ),
    "AWS_SKIP_SIGNATURE": "the bucket is not public",
    "AWS_CA_BUNDLE": "the bucket is reached without TLS",
    "SLIPWAY_S3_VERIFY": "the bucket is reached without TLS",
    "SLIPWAY_WORKSPACE_URI": "steps run beside the worker, not as Jobs",
    "SLIPWAY_JOB_NAME": "set in a Job's pod",
    "SLIPWAY_JOB_UID": "set in a Job's pod",
    "SLIPWAY_KUBECONFIG": "the model server is not on a cluster",
    "SLIPWAY_BUCKET_CONNECTION": "set from the connection that a step is given",
    "SLIPWAY_GOOGLE_KEYFILE_JSON": "the bucket is on S3",
    "SLIPWAY_DEFINITIONS": "the definitions are found from the spec's folder",
    "SLIPWAY_PARENT_PID": "set by the process that starts a step",
}


def named_in_the_code() -> set[str]:
    """Variables of ours and of AWS that the code names; the local stack sets its own."""
    found: set[str] = set()
    for folder in ("include/slipway", "plugins"):
        for file in (PROJECT / folder).rglob("*.py"):
            if "local" not in file.parts:
                names = re.findall(r'"((?:SLIPWAY|AWS)_[A-Z0-9_]+)"', file.read_text("utf-8"))
                found |= set(names)
    return found


def test_every_variable_that_the_code_reads_is_given_or_left_out_for_a_reason() -> None:
    assert named_in_the_code() == set(GIVEN_BY) | set(NOT_GIVEN)
    assert [source for source in GIVEN_BY.values() if source not in ENVIRONMENT] == []


def test_components_share_one_environment() -> None:
    for name in AIRFLOW:
        own = dict(SERVICES[name]["environment"])
        own.pop("AIRFLOW_ADMIN_PASSWORD", None)
        assert own == ENVIRONMENT, name


def test_settings_agree_with_the_stack_of_one_machine() -> None:
    for name, value in LOCAL.items():
        if name not in DIFFERENT and name not in LEFT_OUT:
            assert ENVIRONMENT[name] == value, name
    assert set(DIFFERENT) <= set(LOCAL)
    assert set(DIFFERENT) <= set(ENVIRONMENT)
    assert set(LEFT_OUT) <= set(LOCAL)
    assert not set(LEFT_OUT) & set(ENVIRONMENT)


def test_airflow_knows_every_setting() -> None:
    found = find_spec("airflow")
    assert found
    assert found.origin
    known = yaml.safe_load(
        Path(found.origin).with_name("config_templates").joinpath("config.yml").read_text("utf-8")
    )
    for name in {**ENVIRONMENT, **LOCAL}:
        if name.startswith("AIRFLOW__"):
            _, section, option = name.lower().split("__")
            assert option in known[section]["options"], name


def test_folders_in_the_image_are_mounted_where_airflow_looks() -> None:
    for name in AIRFLOW:
        targets = {volume.split(":")[1] for volume in SERVICES[name]["volumes"]}
        for setting in ("AIRFLOW_HOME", "SLIPWAY_WORKSPACE", "AIRFLOW__CORE__DAGS_FOLDER"):
            assert ENVIRONMENT[setting] in targets
        # A definition is looked for in include/models/ above the spec.
        assert {"/opt/slipway/dags", "/opt/slipway/include", "/opt/slipway/plugins"} <= targets


def test_connections_give_a_step_what_it_reads(tmp_path: Path) -> None:
    code = (
        "import json\n"
        "from slipway_airflow.hooks import connections as c\n"
        "print(json.dumps([c.bucket_environment('aws_default', 's3://slipway-models'),\n"
        "  c.model_server_environment('model_server_default'),\n"
        "  c.prometheus('prometheus_default')]))\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT / "plugins"),
        "AIRFLOW_HOME": str(tmp_path),
        **{name: value for name, value in ENVIRONMENT.items() if "_CONN_" in name[:13]},
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    bucket, server, prometheus = json.loads(done.stdout.splitlines()[-1])
    assert bucket == {
        "AWS_ACCESS_KEY_ID": "s3_access_key_id",
        "AWS_SECRET_ACCESS_KEY": "s3_secret_access_key",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": "http://s3:8333",
        "AWS_SESSION_TOKEN": "",
        "SLIPWAY_BUCKET_CONNECTION": "aws_default",
    }
    assert server == {
        "SLIPWAY_MODEL_SERVER_URL": "http://serving:8501",
        "SLIPWAY_MODEL_CONFIG_FILE": "/serving/models.config",
        "SLIPWAY_MODEL_BASE_PATH": "model_base_path",
    }
    assert prometheus == ["http://prometheus:9090", None]


def test_the_model_server_opens_the_bucket_as_the_steps_do() -> None:
    assert SERVICES["slipway-server"]["environment"] == {
        "AWS_ACCESS_KEY_ID": "s3_access_key_id",
        "AWS_SECRET_ACCESS_KEY": "s3_secret_access_key",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": "http://s3:8333",
    }
    assert set(SERVICES["s3"]["environment"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


@pytest.mark.parametrize("name", AIRFLOW[1:])
def test_a_component_runs_its_own_command(name: str) -> None:
    assert SERVICES[name]["command"][:2] == ["airflow", name]
