from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError
from slipway.kubernetes.access import KUBECONFIG, api_client

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text",
    [
        "{{{",
        "",
        "just text",
        "[1, 2]",
        "clusters: 7",
        "apiVersion: v1\ncurrent-context: nowhere\ncontexts: []\nclusters: []\nusers: []\n",
        "\x00",
    ],
)
def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(TerminalError, match=f"kubeconfig {file} cannot be used") as caught:
        api_client({KUBECONFIG: str(file)})
    assert KUBECONFIG in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_kubeconfig_of_bytes_that_are_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(TerminalError, match="cannot be used"):
        api_client({KUBECONFIG: str(file)})
