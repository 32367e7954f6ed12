from __future__ import annotations

import pytest

from slipway.errors import TerminalError
from slipway.serving.serve_config.table import (
    NEWEST_SEEN,
    OLDEST,
    READINGS,
    TF_TRT_RANGES,
    TFLITE_FLAGS,
    parse_release,
    reading,
    tf_trt_tag,
    tflite_flag,
)

RELEASES = [(2, minor) for minor in range(OLDEST[1], NEWEST_SEEN[1] + 2)]


@pytest.mark.parametrize("scheme", sorted({one.scheme for one in READINGS}))
def test_each_release_has_exactly_one_way_to_each_storage(scheme: str):
    for release in RELEASES:
        assert sum(one.scheme == scheme and one.covers(release) for one in READINGS) == 1


@pytest.mark.parametrize(
    ("uri", "version", "way", "poll"),
    [
        ("s3://models", "2.6.5", "direct", 120),
        ("s3://models", "2.7.0", "sync", 1),
        ("s3://models", "2.20.0-gpu", "sync", 1),
        ("gs://models/team", "2.6.0", "direct", 120),
        ("gs://models", "2.20.0", "direct", 120),
        ("file:///published", "2.20.0", "direct", 1),
        ("/published", "2.4", "direct", 1),
    ],
)
def test_the_way_follows_storage_and_release(uri: str, version: str, way: str, poll: int):
    found = reading(uri, parse_release(version))
    assert (found.way, found.poll_seconds) == (way, poll)


def test_what_is_said_of_a_cloud_has_a_source():
    assert all(
        one.sources for one in (*READINGS, *TFLITE_FLAGS, *TF_TRT_RANGES) if _of_a_cloud(one)
    )


def _of_a_cloud(one: object) -> bool:
    return getattr(one, "scheme", "flag") != "file"


@pytest.mark.parametrize(
    ("version", "flag"),
    [
        ("2.0.0", "use_tflite_model"),
        ("2.2.3", "use_tflite_model"),
        ("2.3.0", "prefer_tflite_model"),
        ("2.20.0", "prefer_tflite_model"),
        ("10.1.0", "prefer_tflite_model"),
    ],
)
def test_the_tflite_flag_follows_the_release(version: str, flag: str):
    assert tflite_flag(parse_release(version)) == flag


@pytest.mark.parametrize("version", ["latest", "2", "", "2.x", "1.15.0"])
def test_what_is_no_version_or_too_old_is_refused(version: str):
    with pytest.raises(TerminalError) as caught:
        parse_release(version)
    assert caught.value.subject == "server_version"


def test_an_unknown_storage_is_named():
    with pytest.raises(TerminalError, match="hdfs://models"):
        reading("hdfs://models", (2, 20))


# tensorflow/serving#4018: 2.17.0-gpu loads what 2.18.0-gpu does not; tensorflow#87911: 2.18 and
# later are built without TensorRT.
@pytest.mark.parametrize(
    ("version", "tag"),
    [
        ("2.2.0", "2.2.0-gpu"),
        ("2.6.2", "2.6.2-gpu"),
        ("2.17.1", "2.17.1-gpu"),
        ("2.17.1-gpu", "2.17.1-gpu"),
        ("2.18.0", None),
        ("2.20.0", None),
        ("2.20.0-gpu", None),
    ],
)
def test_engines_of_tf_trt_need_a_gpu_image_that_has_tensorrt(version: str, tag: str | None):
    if tag is not None:
        assert tf_trt_tag(version) == tag
        return
    with pytest.raises(TerminalError, match="built without TensorRT") as caught:
        tf_trt_tag(version)
    assert "2.17.1-gpu" in caught.value.hint


def test_each_release_is_in_one_range_of_tf_trt():
    for release in RELEASES:
        assert (
            sum(
                one.first <= release and (one.last is None or release <= one.last)
                for one in TF_TRT_RANGES
            )
            == 1
        )
