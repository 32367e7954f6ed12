"""The other examples go the same way with their own specs, no code of Slipway changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from slipway.evaluation.golden import Golden
from slipway.serving.channels import read_channel
from slipway.serving.layout import Layout

if TYPE_CHECKING:
    from support.house import House

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("model", ["breast_cancer", "diabetes"])
def test_a_model_goes_from_its_spec_to_stable_serving(house: House, model: str) -> None:
    run_id, state = house.build(model)
    assert state == "success", house.states(f"{model}__build", run_id)
    published = house.api.result(f"{model}__build", run_id, "publish")["details"]
    rollout_id, state = house.rollout_of_event(model)
    assert state == "success", house.states(f"{model}__rollout", rollout_id)
    stable = read_channel(house.store, model, "stable")
    assert stable is not None
    assert (stable.version, stable.digest) == (published["version"], published["digest"])
    kept = house.store.get(Layout(model).golden(published["version"]))
    assert kept is not None
    golden = Golden.model_validate_json(kept.data)
    url = f"{house.stack.model_server_url}/v1/models/{model}/labels/stable:predict"
    for index, asked in enumerate(golden.requests):
        answer = httpx.post(url, json=asked.body, timeout=30)
        assert answer.status_code == 200, answer.text
        assert not golden.differences(index, answer.json(), tolerance=0.01)
