"""Judges the variants and chooses the winner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway_airflow.links import BucketLink, ReportLink
from slipway_airflow.operators.base import StepOperator

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import BaseOperatorLink


class SelectOperator(StepOperator):
    """Gives every variant its verdict, failed ones too, and writes the report."""

    operator_extra_links: Collection[BaseOperatorLink] = (ReportLink(), BucketLink())
