"""What tasks tell Airflow's metrics and OpenLineage of bytes in buckets."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from slipway.contracts import StepResult
from slipway_airflow import lineage
from slipway_airflow.operators.adopt import AdoptOperator
from slipway_airflow.operators.publish import PublishOperator

DETAILS = {"uri": "s3://models/team/digits/3", "version": 3, "digest": "a" * 64}
METRICS = {"uploaded_bytes": 300.0, "requests": 9.0, "transfer_seconds": 1.5}


def result(step: str = "publish", **metrics: float) -> StepResult:
    return StepResult(step=step, model="digits", details=DETAILS, metrics=metrics)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    for kind in ("incr", "timing"):

        def tell(name: str, value: Any, *, tags: dict[str, str], kind: str = kind) -> None:
            calls.append((kind, name, value, tags["model"]))

        monkeypatch.setattr(lineage.stats, kind, tell)
    return calls


def test_a_transfer_is_counted_by_model(told: list[tuple[Any, ...]]):
    lineage.tell_metrics(result(**METRICS))
    assert told == [
        ("incr", "slipway.bucket.uploaded_bytes", 300, "digits"),
        ("incr", "slipway.bucket.requests", 9, "digits"),
        ("timing", "slipway.bucket.transfer", timedelta(seconds=1.5), "digits"),
    ]


def test_what_a_retention_freed_is_counted(told: list[tuple[Any, ...]]):
    lineage.tell_metrics(result("gc", freed_bytes=0.0))
    assert told == []
    lineage.tell_metrics(result("gc", freed_bytes=70.0))
    assert told == [("incr", "slipway.bucket.freed_bytes", 70, "digits")]


def test_airflow_itself_takes_the_metrics():
    lineage.tell_metrics(result(**METRICS))


@pytest.fixture
def _openlineage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules with the names that the provider and its client have."""

    def module(name: str, **inside: Any) -> None:
        made = ModuleType(name)
        made.__dict__.update(inside)
        monkeypatch.setitem(sys.modules, name, made)

    record = SimpleNamespace
    version = record(DatasetVersionDatasetFacet=record)
    statistics = record(OutputStatisticsOutputDatasetFacet=record)
    module("airflow.providers.openlineage")
    module("airflow.providers.openlineage.extractors", OperatorLineage=record)
    module("openlineage")
    module("openlineage.client")
    module("openlineage.client.event_v2", OutputDataset=record)
    module(
        "openlineage.client.facet_v2",
        dataset_version_dataset=version,
        output_statistics_output_dataset=statistics,
    )


@pytest.mark.usefixtures("_openlineage")
@pytest.mark.parametrize("cls", [PublishOperator, AdoptOperator])
def test_a_version_is_an_output_of_its_task(cls: type):
    operator = SimpleNamespace(result=result(**METRICS))
    [dataset] = cls.get_openlineage_facets_on_complete(operator, None).outputs  # type: ignore[attr-defined]
    assert (dataset.namespace, dataset.name) == ("s3://models", "team/digits")
    assert dataset.facets["version"].datasetVersion == "3"
    assert dataset.outputFacets["outputStatistics"].size == 300


@pytest.mark.usefixtures("_openlineage")
def test_what_was_published_before_has_no_size_of_its_own():
    [dataset] = lineage.published_dataset(result(uploaded_bytes=0.0)).outputs
    assert dataset.outputFacets == {}


def test_without_the_provider_nothing_is_told():
    assert "openlineage" not in sys.modules
    assert lineage.published_dataset(result(**METRICS)) is None


def test_a_task_that_came_to_nothing_tells_nothing():
    assert lineage.published_dataset(None) is None
