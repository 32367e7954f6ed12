from __future__ import annotations

from typing import Any

import pytest

from slipway.kubernetes.routes import weights_in, with_weights

_METADATA = {"name": "digits", "resourceVersion": "7"}


def _gateway(*backends: dict[str, Any]) -> dict[str, Any]:
    other = {"backendRefs": [{"name": "shop", "port": 80}]}
    rules = [other, {"matches": [{"path": {"value": "/v1"}}], "backendRefs": list(backends)}]
    return {"kind": "HTTPRoute", "metadata": _METADATA, "spec": {"rules": rules}}


def _istio(*routes: dict[str, Any]) -> dict[str, Any]:
    spec = {"hosts": ["digits"], "http": [{"timeout": "5s", "route": list(routes)}]}
    return {"kind": "VirtualService", "metadata": _METADATA, "spec": spec}


def test_a_route_that_was_never_split_has_no_weights() -> None:
    assert weights_in(_gateway({"name": "my-digits", "port": 8501}), "my_digits") == {}
    assert weights_in(_istio({"destination": {"host": "my-digits"}}), "my_digits") == {}


@pytest.mark.parametrize(
    ("route", "field", "split"),
    [
        (
            _gateway({"name": "my-digits", "port": 8501}),
            "rules",
            [
                {"name": "my-digits-v3", "port": 8501, "weight": 80},
                {"name": "my-digits-v4", "port": 8501, "weight": 20},
            ],
        ),
        (
            _istio({"destination": {"host": "my-digits.models.svc.cluster.local"}}),
            "http",
            [
                {"destination": {"host": f"my-digits-v{n}", "port": {"number": 8501}}, "weight": w}
                for n, w in ((3, 80), (4, 20))
            ],
        ),
    ],
)
def test_weights_replace_only_what_leads_to_the_model(
    route: dict[str, Any], field: str, split: list[dict[str, Any]]
) -> None:
    patch = with_weights(route, "my_digits", {3: 80, 4: 20})
    assert patch["metadata"] == {"resourceVersion": "7"}
    changed = patch["spec"][field]
    ours = changed[-1]
    assert split in ours.values()
    assert changed[:-1] == route["spec"][field][:-1]
    assert {k: v for k, v in ours.items() if v != split} == {
        k: v for k, v in route["spec"][field][-1].items() if k not in {"backendRefs", "route"}
    }
    assert weights_in({**route, "spec": {field: changed}}, "my_digits") == {3: 80, 4: 20}
