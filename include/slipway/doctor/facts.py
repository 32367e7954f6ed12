"""What the doctor goes by: the spec, what is installed, the definition's text, the GPU, the bucket.

Nothing of it is imported or run, so that the answer comes in a second.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slipway.modelling.gpu import TENSORRT_PACKAGES, Gpu, find_gpu, first_installed
from slipway.registry import STEPS
from slipway.serving.serve_config.table import Release, parse_release
from slipway.spec.execution import SUBPROCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from slipway.spec.model import ModelSpec
    from slipway.spec.variants import VariantBase

_SERVING_IMAGE = "tensorflow/serving"
_RELEASE = re.compile(r"([0-9]+)\.([0-9]+)")


@dataclass(frozen=True)
class Facts:
    """All that is known.

    Attributes:
        spec: The model's spec.
        installed: Version by distribution, of this very interpreter.
        gpu: The first GPU that this process sees.
        imports: What the definition imports, by top-level module; empty if it is not known.
        folders: What lies beside the versions in the bucket; empty if nobody has looked.
    """

    spec: ModelSpec
    installed: Mapping[str, str] = field(default_factory=dict)
    gpu: Gpu | None = None
    imports: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()

    def release(self, *distributions: str) -> Release | None:
        """Major and minor number of the first of them that is installed."""
        for name in distributions:
            found = _RELEASE.match(self.installed.get(name, ""))
            if found:
                return int(found[1]), int(found[2])
        return None


@dataclass(frozen=True)
class Case:
    """What an entry is held against: the spec as a whole, or one variant of it.

    Attributes:
        facts: All that is known.
        name: Of the variant; "" for the spec.
        variant: None for the spec.
    """

    facts: Facts
    name: str = ""
    variant: VariantBase | None = None

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.facts.spec

    @property
    def technique(self) -> str:
        """The variant's technique; "" for the spec."""
        return self.variant.technique if self.variant else ""

    @property
    def config(self) -> Any:
        """The technique's options."""
        return self.variant.config if self.variant else None

    @property
    def backend(self) -> str:
        """Of a variant with TensorRT engines; otherwise ""."""
        return self.config.backend if self.technique == "tensorrt" else ""

    @property
    def here(self) -> bool:
        """Whether its steps run with what is installed here, not in a Job or another Python."""
        runtime = self.spec.runtime_of(self.technique or "train", self.name)
        return self.spec.execution.python is None and runtime == SUBPROCESS

    @property
    def server(self) -> Release:
        """Release of TensorFlow Serving; of meaning only where `of_tensorflow`."""
        return parse_release(self.spec.serve.server_version) if self.of_tensorflow else (0, 0)

    @property
    def of_tensorflow(self) -> bool:
        """Whether TensorFlow Serving serves it."""
        return self.spec.serve.server == "tensorflow_serving"

    @property
    def image_tag(self) -> str:
        """Tag of TensorFlow Serving's own image on the cluster; "" if it is another image."""
        kubernetes = self.spec.serve.kubernetes
        own = kubernetes is not None and _SERVING_IMAGE in kubernetes.image
        return kubernetes.serving_tag if kubernetes and own else ""

    @property
    def missing_packages(self) -> list[str]:
        """What the technique needs and is not installed."""
        wanted = STEPS[self.technique].packages if self.technique else ()
        return [name for name in wanted if name not in self.facts.installed]

    def words(self) -> dict[str, Any]:
        """What an entry's text may name."""
        serve, gpu = self.spec.serve, self.facts.gpu
        return {
            "variant": self.name,
            "technique": self.technique,
            "server": serve.server_version,
            "base_uri": self.spec.publish.base_uri,
            "compute_capability": serve.compute_capability,
            "gpu": f"{gpu.name}, compute capability {gpu.compute_capability}" if gpu else "none",
            "tensorflow": self.facts.installed.get("tensorflow", "not installed"),
            "tf_keras": self.facts.installed.get("tf-keras", "not installed"),
            "tensorrt": next(
                (self.facts.installed[n] for n in TENSORRT_PACKAGES if n in self.facts.installed),
                "not installed",
            ),
            "missing": ", ".join(self.missing_packages),
            "image_tag": self.image_tag,
            "padded": ", ".join(name for name in self.facts.folders if is_padded(name)),
        }


def gather(spec: ModelSpec, definition: Path | None, folders: Sequence[str] = ()) -> Facts:
    """Look at this machine and at the definition.

    Args:
        spec: The model's spec.
        definition: Its module; None, or a file that Python cannot parse: nothing is known of it.
        folders: Names beside the versions in the bucket.
    """
    wanted = {name for entry in STEPS.values() for name in entry.packages} | {*TENSORRT_PACKAGES}
    return Facts(
        spec=spec,
        installed={name: found for name in wanted if (found := first_installed((name,)))},
        gpu=find_gpu()[0],
        imports=_imports(definition) if definition else frozenset(),
        folders=tuple(folders),
    )


def is_padded(folder: str) -> bool:
    """Whether a version's folder begins with a zero."""
    return folder.isdigit() and folder.startswith("0")


def _imports(definition: Path) -> frozenset[str]:
    try:
        tree = ast.parse(definition.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError):
        return frozenset()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return frozenset(found)
