"""The published layout: where everything lies below a base URI, and what a manifest says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from slipway.content import FileEntry, bytes_digest
from slipway.errors import TerminalError
from slipway.serving.engine import Engine

if TYPE_CHECKING:
    from slipway.storage import Store

MANIFEST_NAME = "slipway.json"
BOOKKEEPING = "_slipway"
SCHEMA_VERSION: Final = 1
# What a model server takes for the sign of a complete folder, in the order of upload.
SERVABLE_MARKERS = ("model.tflite", "saved_model.pb", "model.onnx", "model.plan")

ChannelName = Literal["stable", "canary"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_VERSION = re.compile(r"[1-9][0-9]*", re.ASCII)


def parse_version(name: str) -> int | None:
    """Returns the version that a folder's name means; None if it is no version's name."""
    return int(name) if _VERSION.fullmatch(name) else None


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one model, relative to the store that is open at the base URI.

    Args:
        model: The model's name, the first folder below the base URI.
    """

    model: str

    def version_prefix(self, version: int) -> str:
        """The folder that a model server loads."""
        return f"{self.model}/{version}"

    def manifest(self, version: int) -> str:
        """The commit marker of a version."""
        return f"{self.model}/{version}/{MANIFEST_NAME}"

    @property
    def ledger(self) -> str:
        """Which version number belongs to which content."""
        return f"{self.model}/{BOOKKEEPING}/ledger.json"

    def channel(self, name: ChannelName) -> str:
        """Which version a channel points to."""
        return f"{self.model}/{BOOKKEEPING}/channels/{name}.json"

    def golden(self, version: int) -> str:
        """Requests with the answers that the version gave when it was validated."""
        return f"{self.model}/{BOOKKEEPING}/golden/{version}.json"

    def rollouts(self, version: int) -> str:
        """The folder with the evidence of every rollout of a version."""
        return f"{self.model}/{BOOKKEEPING}/rollouts/{version}"

    def rollout(self, version: int, rollout_id: str) -> str:
        """The evidence of one rollout."""
        return f"{self.rollouts(version)}/{rollout_id}.json"

    @property
    def config_pbtxt(self) -> str:
        """How Triton serves the model, where its versions are Triton's."""
        return f"{self.model}/config.pbtxt"

    def triton(self, version: int) -> str:
        """How Triton serves that version, whatever the others are."""
        return f"{self.model}/{BOOKKEEPING}/triton/{version}.pbtxt"

    def edge(self, version: int) -> str:
        """The folder with a version's bundles for devices."""
        return f"{self.model}/{BOOKKEEPING}/edge/{version}"


class _Published(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Technique(_Published):
    """One step of the way on which a variant was made.

    Attributes:
        name: As in the registry: "train", "prune", "tflite", ...
        config: Its options, complete.
    """

    name: str
    config: dict[str, Any] = Field(default_factory=dict)


class Provenance(_Published):
    """Where a version came from.

    Attributes:
        techniques: How the variant was made, first to last.
        source_digest: Of the artifact that was published, as the workspace knows it.
        spec_digest: Of the spec by which it was made.
        run: The run that published it.
        frameworks: Versions of what made it, such as {"tensorflow": "2.21.0"}.
    """

    techniques: tuple[Technique, ...] = ()
    source_digest: str | None = None
    spec_digest: str | None = None
    run: str | None = None
    frameworks: dict[str, str] = Field(default_factory=dict)


class Manifest(_Published):
    """What a published version is; its presence is what makes the version exist.

    Attributes:
        schema_version: Of this document.
        model: The model's name.
        version: From 1.
        digest: Over all files, by `slipway.content.digest_of`.
        files: Every file but the manifest itself.
        variant: Which variant won.
        metrics: The figures with which it passed, finite, units in their names.
        provenance: Where it came from.
        golden_digest: sha256 of the golden requests; None if there are none.
        engine: What a version with TensorRT engines is bound to; None: it has none.
        created_at: When it was committed, with the time zone.
    """

    schema_version: Literal[1] = 1
    model: str
    version: int = Field(ge=1)
    digest: Digest
    files: tuple[FileEntry, ...]
    variant: str
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict)
    provenance: Provenance = Provenance()
    golden_digest: Digest | None = None
    engine: Engine | None = None
    created_at: AwareDatetime

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files)

    def to_bytes(self) -> bytes:
        """The document as it is stored; older releases read it, unless it tells of an engine."""
        without = {"engine"} if self.engine is None else None
        return self.model_dump_json(indent=2, exclude=without).encode() + b"\n"


def parse_manifest(data: bytes, subject: str) -> Manifest:
    """Reads a manifest.

    Args:
        data: The document.
        subject: Where it was found, for the message.

    Raises:
        TerminalError: It is damaged, or of a schema that is newer than this Slipway.
    """
    try:
        head = _Head.model_validate_json(data)
        if head.schema_version > SCHEMA_VERSION:
            raise TerminalError(
                f"{subject} has schema {head.schema_version}; this Slipway reads up to "
                f"{SCHEMA_VERSION}.",
                hint="Upgrade Slipway here to the release that published the version.",
                subject=subject,
                details={"reason": "newer_schema"},
            )
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the document"
        raise TerminalError(
            f"{subject} is damaged: {field}: {problem['msg']}.",
            hint="Publish the model again; the damaged version keeps its number.",
            subject=subject,
        ) from None


def find_manifest(store: Store, model: str, version: int) -> Manifest | None:
    """Reads the manifest of a version; None if no such version exists.

    Raises:
        TerminalError: As `parse_manifest`, or the manifest is that of another version.
    """
    path = Layout(model).manifest(version)
    found = store.get(path)
    if found is None:
        return None
    subject = f"{store.uri}/{path}"
    manifest = parse_manifest(found.data, subject)
    if (manifest.model, manifest.version) != (model, version):
        raise TerminalError(
            f"{subject} belongs to version {manifest.version} of {manifest.model}.",
            hint="Published folders must not be copied or renamed: publish the model again.",
            subject=subject,
        )
    return manifest


def resolve(store: Store, model: str, version: int) -> Manifest:
    """Reads the manifest of a version that must exist.

    Raises:
        TerminalError: As `find_manifest`, or there is no such version.
    """
    manifest = find_manifest(store, model, version)
    if manifest is None:
        raise TerminalError(
            f"There is no version {version} of {model} at {store.uri}.",
            hint="List what there is with `slipway versions`.",
            subject=f"{model}/{version}",
        )
    return manifest


def read_golden(store: Store, manifest: Manifest) -> bytes | None:
    """Reads the golden requests of a version, as JSON; None if it was published without any.

    Raises:
        TerminalError: They are missing, or not those that the manifest names.
    """
    if manifest.golden_digest is None:
        return None
    path = Layout(manifest.model).golden(manifest.version)
    found = store.get(path)
    if found is None or bytes_digest(found.data) != manifest.golden_digest:
        raise TerminalError(
            f"{store.uri}/{path} is {'missing' if found is None else 'not what was published'}.",
            hint="Without them the version cannot be proven: publish the model again.",
            subject=path,
        )
    return found.data


class _Head(BaseModel):
    schema_version: int
