"""Which TensorFlow Serving can read which storage how: data, with its sources.

`docs/serving.md` is made from this by `make generate`, and `slipway serve-config` decides by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from slipway.errors import TerminalError

Release = tuple[int, int]
Way = Literal["direct", "sync"]

OLDEST: Release = (2, 0)
NEWEST_SEEN: Release = (2, 20)
DEFAULT_VERSION = "2.20.0"

# A poll lists the base path, which clouds charge for: at the server's default of one second that is
# 2.6 million listings a month for each model and server. At two minutes it is 22 thousand, and a
# new version is still served within the time that a person notices.
DIRECT_POLL_SECONDS = 120
LOCAL_POLL_SECONDS = 1

_ISSUES = "https://github.com/tensorflow/serving/issues/"
_COMMITS = "https://github.com/tensorflow/serving/commit/"

POLL_SOURCES = (f"{_ISSUES}1916", f"{_ISSUES}1291")


def dotted(release: Release) -> str:
    """A release as people write it."""
    return f"{release[0]}.{release[1]}"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a range of servers gets at a kind of storage.

    Attributes:
        scheme: Of the base URI.
        first: The first server release.
        last: The last one; None: all that follow.
        way: "direct": the server reads the base URI itself; "sync": it reads a folder, which
            `slipway sync` keeps in step with the bucket.
        atomic: Why a server never sees half a version this way.
        credentials: How the reader is told who it is.
        poll_seconds: Interval of the server's looks at its base path.
        sources: Where this is known from.
    """

    scheme: str
    first: Release
    last: Release | None
    way: Way
    atomic: str
    credentials: str
    poll_seconds: int
    sources: tuple[str, ...] = ()

    def covers(self, release: Release) -> bool:
        """Whether a server release is in the range."""
        return self.first <= release and (self.last is None or release <= self.last)

    @property
    def releases(self) -> str:
        """The range in words."""
        first = dotted(self.first)
        return f"{first} and later" if self.last is None else f"{first} to {dotted(self.last)}"


READINGS: tuple[Reading, ...] = (
    Reading(
        "file",
        OLDEST,
        None,
        "direct",
        "a version appears by one rename",
        "none: the folder is mounted read-only",
        LOCAL_POLL_SECONDS,
    ),
    Reading(
        "gs",
        OLDEST,
        None,
        "direct",
        "`saved_model.pb` is put in place last, so an earlier load fails and is tried again",
        "file named by GOOGLE_APPLICATION_CREDENTIALS, or workload identity",
        DIRECT_POLL_SECONDS,
        (f"{_ISSUES}621", f"{_ISSUES}1700", f"{_ISSUES}1916"),
    ),
    Reading(
        "s3",
        OLDEST,
        (2, 6),
        "direct",
        "`saved_model.pb` is uploaded last, so an earlier load fails and is tried again",
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file named by "
        "AWS_SHARED_CREDENTIALS_FILE",
        DIRECT_POLL_SECONDS,
        (f"{_ISSUES}1963", f"{_ISSUES}1291"),
    ),
    Reading(
        "s3",
        (2, 7),
        None,
        "sync",
        "every digest is verified, then a version appears by one rename",
        "as environment of `slipway sync`, which reads AWS_SHARED_CREDENTIALS_FILE too; the server "
        "needs none",
        LOCAL_POLL_SECONDS,
        (f"{_ISSUES}1963", f"{_ISSUES}2062"),
    ),
)


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that a server which reads a bucket itself understands.

    Attributes:
        name: Of the variable.
        scheme: The storage that it is about.
        means: What it does.
        secret: Whether its value must not be written into a file that is committed.
    """

    name: str
    scheme: str
    means: str
    secret: bool = False


VARIABLES: tuple[Variable, ...] = (
    Variable("AWS_ACCESS_KEY_ID", "s3", "access key id", secret=True),
    Variable("AWS_SECRET_ACCESS_KEY", "s3", "secret access key", secret=True),
    Variable("AWS_SESSION_TOKEN", "s3", "token of temporary keys", secret=True),
    Variable("AWS_REGION", "s3", "the bucket's region; us-east-1 if it is not set"),
    Variable("S3_ENDPOINT", "s3", "host and port of a server that is not AWS, without a scheme"),
    Variable("S3_USE_HTTPS", "s3", "0: speak plain HTTP"),
    Variable("S3_VERIFY_SSL", "s3", "0: accept any certificate; for a test only"),
    Variable("S3_CA_FILE", "s3", "path of a mounted CA bundle that signed the certificate"),
    Variable("GOOGLE_APPLICATION_CREDENTIALS", "gs", "path of the mounted service account file"),
)
VARIABLE_SOURCES = (
    "https://github.com/tensorflow/tensorflow/pull/11089",
    f"{_ISSUES}2062",
)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag whose name depends on the server's release.

    Attributes:
        name: Of the flag.
        first: The first release that has it.
        last: The last one; None: all that follow.
        means: What it does.
        sources: Where this is known from.
    """

    name: str
    first: Release
    last: Release | None
    means: str
    sources: tuple[str, ...] = ()


TFLITE_FLAGS: tuple[Flag, ...] = (
    Flag(
        "use_tflite_model",
        OLDEST,
        (2, 2),
        "loads model.tflite always; every model that the server serves must have one",
        (
            f"{_COMMITS}d16ceafa044932e2d9ef84bbe1a6ae5c6356252f",
            f"{_COMMITS}8589d8177bd300625b4c7596240150f8a8002d19",
        ),
    ),
    Flag(
        "prefer_tflite_model",
        (2, 3),
        None,
        "loads model.tflite where there is one, otherwise saved_model.pb",
        (f"{_COMMITS}8589d8177bd300625b4c7596240150f8a8002d19",),
    ),
)


@dataclass(frozen=True, slots=True)
class TfTrtRange:
    """Whether a range of servers loads SavedModels with engines of TF-TRT.

    Attributes:
        first: The first server release.
        last: The last one; None: all that follow.
        image_suffix: Of the tags that load them; None: no image does.
        means: What happens.
        sources: Where this is known from.
    """

    first: Release
    last: Release | None
    image_suffix: str | None
    means: str
    sources: tuple[str, ...]


TF_TRT_RANGES: tuple[TfTrtRange, ...] = (
    TfTrtRange(
        OLDEST,
        (2, 17),
        "-gpu",
        "loads them on a GPU; engines that were built ahead need the TensorRT that built them",
        (f"{_ISSUES}4018", f"{_ISSUES}1388"),
    ),
    TfTrtRange(
        (2, 18),
        None,
        None,
        "is built without TensorRT: `CreateTRTResourceHandle` is not registered, and loading fails",
        (f"{_ISSUES}4018", "https://github.com/tensorflow/tensorflow/issues/87911"),
    ),
)


def parse_release(version: str) -> Release:
    """Major and minor number of a server version such as ``2.20.0`` or ``2.20.0-gpu``.

    Raises:
        TerminalError: It is no version, or older than this table reaches.
    """
    match = re.fullmatch(r"v?([0-9]+)\.([0-9]+)(\.[0-9]+)?(-[a-z0-9.-]+)?", version)
    if match is None:
        raise TerminalError(
            f"{version!r} is no version of TensorFlow Serving.",
            hint=f"Write it as its image's tag: {DEFAULT_VERSION}.",
            subject="server_version",
        )
    release = (int(match[1]), int(match[2]))
    if release < OLDEST:
        raise TerminalError(
            f"TensorFlow Serving {version} is older than {dotted(OLDEST)}.",
            hint="Use a current server: it loads what Slipway exports.",
            subject="server_version",
        )
    return release


def reading(base_uri: str, release: Release) -> Reading:
    """How a server release gets at a base URI.

    Raises:
        TerminalError: The table knows nothing of the scheme.
    """
    scheme = base_uri.partition("://")[0] if "://" in base_uri else "file"
    for one in READINGS:
        if one.scheme == scheme and one.covers(release):
            return one
    known = ", ".join(sorted({f"{one.scheme}://" for one in READINGS}))
    raise TerminalError(
        f"It is not known how TensorFlow Serving could follow {base_uri}.",
        hint=f"Publish to one of {known}.",
        subject="publish.base_uri",
    )


def tflite_flag(release: Release) -> str:
    """The name of the flag that makes a server release load model.tflite.

    Raises:
        TerminalError: The release has none.
    """
    for flag in TFLITE_FLAGS:
        if flag.first <= release and (flag.last is None or release <= flag.last):
            return flag.name
    raise TerminalError(
        f"TensorFlow Serving {dotted(release)} cannot load TFLite.",
        hint="Use 2.3 or later, or set serve.prefer_tflite_model to false.",
        subject="serve.prefer_tflite_model",
    )


def tf_trt_tag(version: str) -> str:
    """The tag of the image of a server version that loads engines of TF-TRT.

    Raises:
        TerminalError: No image of that version does.
    """
    one = tf_trt_range(parse_release(version))
    if one.image_suffix is not None:
        return f"{version.removesuffix(one.image_suffix)}{one.image_suffix}"
    raise TerminalError(
        f"TensorFlow Serving {version} {one.means.replace('`', '')}.",
        hint="Serve with 2.17.1-gpu, or build the engine with backend onnx and serve it with "
        "Triton.",
        subject="server_version",
    )


def tf_trt_range(release: Release) -> TfTrtRange:
    """What a release that `parse_release` gave makes of engines of TF-TRT."""
    return next(
        one
        for one in TF_TRT_RANGES
        if one.first <= release and (one.last is None or release <= one.last)
    )
