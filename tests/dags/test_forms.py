"""What Airflow refuses before a run exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from airflow.sdk.exceptions import ParamValidationError

from slipway_airflow.dag_builder import build_dags
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("uri", "fits"),
    [
        ("s3://drops/one/first", True),
        ("s3://drops/one/first/", True),
        ("s3://drops/other/first", False),
        ("s3://drops/one/a/b", False),
        ("s3://drops/one/", False),
        ("s3://elsewhere/one/first", False),
    ],
)
def test_a_drop_outside_the_models_place_does_not_fit_the_form(
    tmp_path: Path, uri: str, fits: bool
) -> None:
    write_spec(tmp_path, "one", "incoming: {uri: 's3://drops/one'}\n")
    param = build_dags(tmp_path)["one__build"].params.get_param("incoming")
    if fits:
        param.resolve({"uri": uri, "digest": DIGEST})
    else:
        with pytest.raises(ParamValidationError):
            param.resolve({"uri": uri, "digest": DIGEST})
