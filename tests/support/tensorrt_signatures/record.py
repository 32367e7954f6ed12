"""Record what TensorRT's and TF-TRT's real packages can be called with: `make tensorrt-signatures`.

TensorRT's bindings are on the package index, its libraries are not, and neither runs without a GPU.
But the bindings know every class and signature without them: they load once something answers to
the libraries' names. So empty libraries are compiled, and the signatures read from the docstrings.
TF-TRT is Python, and its signatures are read from its source.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
BINDINGS = ("10.16.1.11", "11.4.0.106")
TENSORFLOW = "2.17.1"

CLASSES = (
    "Builder",
    "BuilderFlag",
    "HardwareCompatibilityLevel",
    "IBuilderConfig",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "ITensor",
    "ITimingCache",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
)
_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
_FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
_CALL = re.compile(r"^(?:\d+\. )?\w+\((.*)\) -> (.+)$")


def main() -> None:
    """Write a file for each package."""
    for version in BINDINGS:
        with tempfile.TemporaryDirectory() as folder:
            recorded = _bindings(version, Path(folder))
        _write(f"tensorrt-{version}.json", recorded)
    with tempfile.TemporaryDirectory() as folder:
        _write(f"tf_trt-{TENSORFLOW}.json", _tf_trt(Path(folder)))


def _bindings(version: str, folder: Path) -> dict[str, Any]:
    zipfile.ZipFile(_download(f"tensorrt-cu12-bindings=={version}", folder)).extractall(folder)
    major = version.partition(".")[0]
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in _FUNCTIONS))
    for name in _LIBRARIES:
        library = f"lib{name}.so.{major}"
        command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", library, "empty.c"]
        subprocess.run(command, cwd=folder, check=True)
    found = subprocess.run(
        [sys.executable, __file__, "dump"],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)},
        check=True,
        capture_output=True,
        text=True,
    )
    recorded: dict[str, Any] = json.loads(found.stdout)
    return recorded


def dump() -> dict[str, Any]:
    """What the bindings on the path have, as JSON."""
    import tensorrt_bindings as trt

    classes = {name: _class(getattr(trt, name)) for name in CLASSES}
    return {"version": trt.__version__, "classes": classes}


def _class(cls: Any) -> dict[str, Any]:
    if hasattr(cls, "__members__"):
        return {"members": {name: int(value) for name, value in cls.__members__.items()}}
    has_layers = cls.__name__ == "INetworkDefinition"
    found: dict[str, Any] = {"methods": {}, "properties": {}, "constants": {}}
    for name in sorted(dir(cls)):
        # A network is made by the parser: the hundred methods that add a layer are not needed.
        hidden = name.startswith("_") and name != "__init__"
        if hidden or (has_layers and name.startswith("add_")):
            continue
        value = getattr(cls, name)
        if isinstance(value, property):
            found["properties"][name] = {"settable": value.fset is not None}
        elif isinstance(value, type):
            continue
        elif callable(value):
            found["methods"][name] = _overloads(value.__doc__ or "")
        else:
            found["constants"][name] = int(value)
    return found


def _overloads(text: str) -> list[dict[str, Any]]:
    calls = [_CALL.match(line) for line in text.splitlines()]
    return [
        {"parameters": [_parameter(one) for one in _split(call[1])], "returns": _short(call[2])}
        for call in calls
        if call is not None and not call[1].startswith("*args")
    ]


def _parameter(text: str) -> dict[str, Any]:
    name, _, rest = text.partition(": ")
    type_, equals, _ = rest.partition(" = ")
    return {"name": name, "type": _short(type_), "optional": bool(equals)}


def _split(text: str) -> list[str]:
    """Parameters, at the commas that no bracket encloses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _short(type_: str) -> str:
    return type_.replace("tensorrt_bindings.tensorrt.", "").strip()


def _tf_trt(folder: Path) -> dict[str, Any]:
    wheel = zipfile.ZipFile(_download(f"tensorflow-cpu=={TENSORFLOW}", folder))
    module = "tensorflow/python/compiler/tensorrt/trt_convert.py"
    tree = ast.parse(wheel.read(module))
    [converter] = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "TrtGraphConverterV2"
    ]
    [modes] = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "TrtPrecisionMode"
    ]
    return {
        "version": TENSORFLOW,
        "methods": {
            node.name: [argument.arg for argument in node.args.args]
            for node in converter.body
            if isinstance(node, ast.FunctionDef)
            and (node.name == "__init__" or not node.name.startswith("_"))
        },
        "precision_modes": [
            node.value.value
            for node in modes.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        ],
        "profile_strategies": [
            node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id.startswith("PROFILE_STRATEGY_")
            and isinstance(node.value, ast.Constant)
        ],
    }


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    subprocess.run([*command, str(folder), requirement], check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def _write(name: str, recorded: dict[str, Any]) -> None:
    (FOLDER / name).write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["dump"]:
        json.dump(dump(), sys.stdout)
    else:
        main()
