from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.content import tree_digest
from slipway.errors import TerminalError
from slipway.incoming import digest_of_dropped, fetch, incoming_of
from slipway.requests import build_request
from slipway.spec.incoming import IncomingModel
from slipway.spec.loader import load_spec
from slipway.spec.plan import plan_build
from support.specs import PROJECT, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.spec.model import ModelSpec

DIGEST = "a" * 64
PLACE = "s3://drops/tiny"


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    return load_spec(write_spec(tmp_path, extra=f"incoming: {{uri: '{PLACE}'}}\n"))


def test_a_folder_directly_below_the_place_is_taken(spec: ModelSpec) -> None:
    found = incoming_of(spec, {"uri": f"{PLACE}/2026-11-23", "digest": DIGEST})
    assert found == IncomingModel(uri=f"{PLACE}/2026-11-23", digest=DIGEST)


@pytest.mark.parametrize(
    "uri",
    [
        PLACE,
        f"{PLACE}/",
        f"{PLACE}/..",
        f"{PLACE}/../other/model",
        f"{PLACE}/a/b",
        f"{PLACE}/.hidden",
        f"{PLACE}/a\\..\\b",
        f"{PLACE}/a%2f..%2fb",
        f"{PLACE}/a\nb",
        f"{PLACE}er/model",
        "s3://others/tiny/model",
        "gs://drops/tiny/model",
        "file:///etc",
        "/etc",
    ],
)
def test_a_folder_elsewhere_is_refused_in_one_line(spec: ModelSpec, uri: str) -> None:
    with pytest.raises(TerminalError, match="not a folder directly below") as caught:
        incoming_of(spec, {"uri": uri, "digest": DIGEST})
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"uri": f"{PLACE}/a"}, "digest: Field required"),
        ({"uri": f"{PLACE}/a", "digest": "no"}, "digest: String should match"),
        ({"uri": f"{PLACE}/a", "digest": DIGEST, "more": 1}, "more: Extra inputs"),
        (f"{PLACE}/a", "Input should be a valid dictionary"),
        ([], "Input should be a valid dictionary"),
    ],
)
def test_a_malformed_parameter_is_refused(spec: ModelSpec, given: Any, message: str) -> None:
    with pytest.raises(TerminalError, match=message):
        incoming_of(spec, given)


def test_a_spec_that_names_no_place_takes_no_dropped_model(tmp_path: Path) -> None:
    spec = load_spec(write_spec(tmp_path))
    assert incoming_of(spec, None) is None
    with pytest.raises(TerminalError, match="names no place where models are dropped"):
        incoming_of(spec, {"uri": f"{PLACE}/a", "digest": DIGEST})


def test_a_run_for_no_dropped_model_says_so_before_any_work(
    spec: ModelSpec, tmp_path: Path
) -> None:
    with pytest.raises(TerminalError, match="this run is for no dropped model"):
        build_request(spec, tmp_path / "tiny.yaml", plan_build(spec)[0], {}, workspace=tmp_path)


def test_the_request_follows_the_content_and_not_the_place(spec: ModelSpec, tmp_path: Path) -> None:
    configs = []
    for folder in ("first", "second"):
        incoming = {"uri": f"{PLACE}/{folder}", "digest": DIGEST}
        request = build_request(
            spec,
            PROJECT / "dags" / "models" / "tiny.yaml",
            plan_build(spec)[1],
            {},
            workspace=tmp_path,
            parameters={"incoming": incoming},
        )
        configs.append(request.config)
        assert request.parameters["incoming"] == incoming
    assert configs[0] == configs[1]
    assert configs[0]["saved_model_digest"] == DIGEST


class TestFetch:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        folder = tmp_path / "drops" / "model"
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"graph")
        (folder / "variables" / "variables.index").write_bytes(b"index")
        return folder

    def test_what_comes_is_what_the_digest_says(self, place: Path, tmp_path: Path) -> None:
        uri = f"file://{place}"
        digest = digest_of_dropped(uri)
        assert digest == tree_digest(place)
        fetch(IncomingModel(uri=uri, digest=digest), tmp_path / "here", largest_bytes=10)
        assert tree_digest(tmp_path / "here") == digest

    def test_what_was_written_to_since_is_refused(self, place: Path, tmp_path: Path) -> None:
        digest = digest_of_dropped(f"file://{place}")
        (place / "saved_model.pb").write_bytes(b"other")
        with pytest.raises(TerminalError, match="is not what this run is for"):
            fetch(IncomingModel(uri=f"file://{place}", digest=digest), tmp_path / "here")

    def test_what_is_too_large_is_refused_before_it_is_read(
        self, place: Path, tmp_path: Path
    ) -> None:
        model = IncomingModel(uri=f"file://{place}", digest=DIGEST)
        with pytest.raises(TerminalError, match=r"2 files of 10 bytes in all; allowed: .* of 9"):
            fetch(model, tmp_path / "here", largest_bytes=9)
        assert not (tmp_path / "here").exists()

    def test_a_folder_that_is_gone_is_said_so(self, tmp_path: Path) -> None:
        model = IncomingModel(uri=f"file://{tmp_path}/none", digest=DIGEST)
        with pytest.raises(TerminalError, match="There is no folder"):
            fetch(model, tmp_path / "here")
