"""What differs between the releases of TensorRT that can build an engine: data."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.errors import TerminalError


@dataclass(frozen=True, slots=True)
class TensorRTRelease:
    """A major release.

    Attributes:
        major: Its number.
        creation_flags: Members of NetworkDefinitionCreationFlag with which a network takes its
            types from the ONNX graph.
        weak_creation_flags: Those with which the builder may lower the precision by itself; None:
            it cannot.
        precision_flags: Members of BuilderFlag by precision, for a network with
            `weak_creation_flags`.
        recorded_from: The package in which all of this was found.
    """

    major: int
    creation_flags: tuple[str, ...]
    weak_creation_flags: tuple[str, ...] | None
    precision_flags: dict[str, str]
    recorded_from: str


RELEASES: tuple[TensorRTRelease, ...] = (
    TensorRTRelease(
        10,
        ("EXPLICIT_BATCH", "STRONGLY_TYPED"),
        ("EXPLICIT_BATCH",),
        {"float16": "FP16"},
        "tensorrt-cu12-bindings 10.16.1.11",
    ),
    TensorRTRelease(
        11,
        ("STRONGLY_TYPED",),
        None,
        {},
        "tensorrt-cu12-bindings 11.4.0.106",
    ),
)


def release_of(version: str) -> TensorRTRelease:
    """The release that a version belongs to.

    Raises:
        TerminalError: It is none that Slipway builds engines with.
    """
    major = version.partition(".")[0]
    for release in RELEASES:
        if str(release.major) == major:
            return release
    known = " or ".join(str(release.major) for release in RELEASES)
    raise TerminalError(
        f"TensorRT {version} is installed, and engines are built with {known}",
        hint=f"install tensorrt=={RELEASES[-1].major}.* where the step runs, in the release that "
        "the server has",
        subject="tensorrt",
    )
