"""An interpreter for `execution.python` that ends every step as a test wants, in no time.

The process, its arguments and its files are the real ones; only the step's work is made up.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCRIPT = """#!{python}
import sys
sys.path[:0] = {path!r}
from support.step_stub import main
main({folder!r})
"""


@dataclass(frozen=True)
class StepStub:
    """A made-up interpreter and what it was asked.

    Attributes:
        folder: Where it lives.
    """

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> StepStub:
        """A stub under which every step succeeds."""
        folder.mkdir(parents=True)
        (folder / "asked").mkdir()
        script = folder / "python"
        path = [str(Path(__file__).parents[1]), *(entry for entry in sys.path if entry)]
        text = _SCRIPT.format(python=sys.executable, path=path, folder=str(folder))
        script.write_text(text, "utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        stub = cls(folder)
        stub._write({})
        return stub

    @property
    def python(self) -> str:
        """For `execution.python`."""
        return str(self.folder / "python")

    def answers(self, **outcomes: dict[str, Any]) -> None:
        """How steps end, by step or `variant.step` with `__` for the dot: a StepOutcome's parts.

        A list is used up one by one; its last element stays.
        """
        self._write({name.replace("__", "."): outcome for name, outcome in outcomes.items()})

    def asked(self, step: str) -> list[dict[str, Any]]:
        """The requests for a step, each with `environment`, in order."""
        found = sorted((self.folder / "asked").glob(f"*-{step}.json"))
        return [json.loads(file.read_text("utf-8")) for file in found]

    def _write(self, answers: dict[str, Any]) -> None:
        (self.folder / "answers.json").write_text(json.dumps(answers), "utf-8")


def failed(kind: str = "terminal", **details: Any) -> dict[str, Any]:
    """An outcome: a failure."""
    message = f"a {kind} failure of the test's own"
    return {"failure": {"kind": kind, "message": message, "hint": "none", "details": details}}


def succeeded(**details: Any) -> dict[str, Any]:
    """An outcome: a result with those details."""
    return {"result": {"details": details}}


def main(folder: str) -> None:
    """What the stub does when it is started as an interpreter."""
    home = Path(folder)
    arguments = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))
    request = json.loads(Path(arguments["--request"]).read_text("utf-8"))
    step = request["step"]
    seen = len(list((home / "asked").glob(f"*-{step}.json")))
    number = len(list((home / "asked").iterdir()))
    record = {**request, "environment": dict(os.environ)}
    (home / "asked" / f"{number:04}-{step}.json").write_text(json.dumps(record), "utf-8")
    answers = json.loads((home / "answers.json").read_text("utf-8"))
    answer = answers.get(f"{request['variant']}.{step}", answers.get(step, succeeded()))
    if isinstance(answer, list):
        answer = answer[min(seen, len(answer) - 1)]
    outcome = answer if "failure" in answer else {"result": _result(request, answer["result"])}
    Path(arguments["--result"]).write_text(json.dumps(outcome), "utf-8")
    print(f"the stub ran {step}")  # noqa: T201  # a step's log is its standard output


def _result(request: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    made = request["step"] in {"train", "import", "prune", "distill", "quantize", "tflite", "onnx"}
    artifact = {
        "kind": request["step"] if request["step"] in {"tflite", "onnx"} else "keras",
        "digest": f"sha256:{request['variant']}",
        "uri": request["workspace"],
        "size_bytes": 1,
    }
    return {
        "step": request["step"],
        "model": request["model"],
        "variant": request["variant"],
        "artifact": artifact if made else None,
        **own,
    }
