"""What a person approved is what is published, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.contracts import StepOutcome, StepRequest, StepResult
from slipway.errors import TerminalError
from slipway.steps import publish as step
from slipway.steps.base import StepContext
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path


def test_a_winner_that_was_not_the_one_approved_is_not_published(tmp_path: Path):
    artifact = {"kind": "saved_model", "digest": "b" * 64, "uri": str(tmp_path), "size_bytes": 1}
    details: dict[str, Any] = {
        "winner": "pruned",
        "winner_artifact": artifact,
        "golden": {"uri": "golden", "digest": "c" * 64},
        "metrics": {},
        "chain": [],
    }
    selected = StepResult(step="select", model="tiny", details=details)
    request = StepRequest(
        step="publish",
        model="tiny",
        config={"base_uri": f"file://{tmp_path}/bucket"},
        results={"select": StepOutcome(result=selected)},
        parameters={"approved": "a" * 64},
        seed=1,
        workspace=str(tmp_path),
    )
    context = StepContext(request=request, folder=tmp_path, workspace=Workspace(tmp_path))
    with pytest.raises(TerminalError, match="bbbbbbbbbbbb, but aaaaaaaaaaaa was approved") as error:
        step.run(context)
    assert "nothing was published" in error.value.hint
    assert not (tmp_path / "bucket").exists()
