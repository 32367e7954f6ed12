"""Operations that a stranger's graph may not hold, as data: what each does, and when that is meant.

Reviewed against the operations of TensorFlow 2.21; a test names those that a later one adds and
nobody has judged yet. Sources: https://www.tensorflow.org/api_docs/python/tf/raw_ops and
https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md, which says to treat models as
programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

LAMBDA = "Lambda"
"""Keras' layer that holds Python bytecode; it stands in the metadata, not in the graph."""

UNKNOWN = "is not an operation of TensorFlow: what it does is not known"


class Harmless(Enum):
    """When an operation of the table is what an export writes itself, and not refused."""

    NEVER = "never"
    ASSETS = "if the file is an asset of the SavedModel"
    SAVER = "if only the SavedModel's own saver runs it"
    EMPTY_FILE_NAME = "if the name of the file is empty"
    NO_FILE = "if its attribute names no file"


@dataclass(frozen=True, slots=True)
class Rule:
    """Why an operation is refused.

    Attributes:
        reason: What it does.
        harmless: When it is not refused.
        file_input: Which of its inputs names the file, where that decides.
        attribute: Which attribute names it, where that decides.
        no_file: How the attribute's value begins where it names no file; "" alone: it is empty.
    """

    reason: str
    harmless: Harmless = Harmless.NEVER
    file_input: int = 0
    attribute: str = ""
    no_file: tuple[str, ...] = ()


_READS = "reads files"
_WRITES = "writes files"
_PYTHON = "calls Python"
_NETWORK = "reaches the network or other processes"
_ENDS = "ends the process that runs it"
_HIDES = "runs a program that is not part of the graph and cannot be read"

_ALWAYS: dict[str, tuple[str, ...]] = {
    _READS: (
        "DTensorRestoreV2",
        "ExperimentalMatchingFilesDataset",
        "GenerateVocabRemapping",
        "ImmutableConst",
        "ListSnapshotChunksDataset",
        "LoadAndRemapMatrix",
        "LoadDataset",
        "MatchingFiles",
        "MatchingFilesDataset",
        "ReaderRead",
        "ReaderReadUpTo",
        "ReaderReadUpToV2",
        "ReaderReadV2",
        "RecordInput",
        "Skipgram",
        "SnapshotChunkDataset",
        "SnapshotDatasetReader",
        "SnapshotNestedDatasetReader",
    ),
    _WRITES: (
        "CalibrationStatisticsSaver",
        "CloseSummaryWriter",
        "CreateSummaryDbWriter",
        "CreateSummaryFileWriter",
        "DatasetToTFRecord",
        "DistributedSave",
        "DumpTensor",
        "ExperimentalDatasetToTFRecord",
        "FlushSummaryWriter",
        "ImportEvent",
        "SaveDataset",
        "SaveDatasetV2",
        "SnapshotDataset",
        "SnapshotDatasetV2",
        "StatsAggregatorSetSummaryWriter",
        "SummaryWriter",
        "WriteAudioSummary",
        "WriteFile",
        "WriteGraphSummary",
        "WriteHistogramSummary",
        "WriteImageSummary",
        "WriteRawProtoSummary",
        "WriteScalarSummary",
        "WriteSummary",
    ),
    _ENDS: ("Abort",),
    _PYTHON: ("EagerPyFunc", "PyFunc", "PyFuncStateless", LAMBDA),
    _NETWORK: (
        "CollectiveAllToAllV2",
        "CollectiveAllToAllV3",
        "CollectiveAssignGroupV2",
        "CollectiveBcastRecv",
        "CollectiveBcastRecvV2",
        "CollectiveBcastSend",
        "CollectiveBcastSendV2",
        "CollectiveGather",
        "CollectiveGatherV2",
        "CollectiveInitializeCommunicator",
        "CollectivePermute",
        "CollectiveReduce",
        "CollectiveReduceScatterV2",
        "CollectiveReduceV2",
        "CollectiveReduceV3",
        "ConfigureAndInitializeGlobalTPU",
        "ConfigureDistributedTPU",
        "DataServiceDataset",
        "DataServiceDatasetV2",
        "DataServiceDatasetV3",
        "DataServiceDatasetV4",
        "DebugIdentity",
        "DebugIdentityV2",
        "DebugIdentityV3",
        "DebugNanCount",
        "DebugNumericSummary",
        "DebugNumericSummaryV2",
        "DeleteRpcFutureResource",
        "FileSystemSetConfiguration",
        "NcclAllReduce",
        "NcclBroadcast",
        "NcclReduce",
        "Recv",
        "RegisterDataset",
        "RegisterDatasetV2",
        "RemoteCall",
        "RpcCall",
        "RpcCheckStatus",
        "RpcClient",
        "RpcGetValue",
        "RpcServer",
        "RpcServerRegister",
        "RpcServerStart",
        "Send",
        "ShutdownDistributedTPU",
        "ShutdownTPUSystem",
        "SqlDataset",
        "ExperimentalSqlDataset",
        "_HostRecv",
        "_HostSend",
        "_Recv",
        "_Send",
    ),
    _HIDES: (
        "DatasetFromGraph",
        "MlirPassthroughOp",
        "RemoteFusedGraphExecute",
        "TPUCompile",
        "TPUExecute",
        "TPUExecuteAndUpdateVariables",
        "TRTEngineOp",
        "XlaCallModule",
        "XlaCustomCall",
        "XlaCustomCallV2",
        "_TPUCompileMlir",
        "_XlaHostComputeMlir",
    ),
}
_ASSETS: dict[str, int] = {
    "CSVDataset": 0,
    "CSVDatasetV2": 0,
    "ExperimentalCSVDataset": 0,
    "ExperimentalLMDBDataset": 0,
    "FixedLengthRecordDataset": 0,
    "FixedLengthRecordDatasetV2": 0,
    "InitializeTableFromTextFile": 1,
    "InitializeTableFromTextFileV2": 1,
    "LMDBDataset": 0,
    "ReadFile": 0,
    "TFRecordDataset": 0,
    "TFRecordDatasetV2": 0,
    "TextLineDataset": 0,
}
_SAVER: dict[str, str] = {
    "MergeV2Checkpoints": _WRITES,
    "Restore": _READS,
    "RestoreSlice": _READS,
    "RestoreV2": _READS,
    "Save": _WRITES,
    "SaveSlices": _WRITES,
    "SaveV2": _WRITES,
}

OPERATIONS: dict[str, Rule] = {
    **{name: Rule(reason) for reason, names in _ALWAYS.items() for name in names},
    **{name: Rule(_READS, Harmless.ASSETS, file_input=at) for name, at in _ASSETS.items()},
    **{name: Rule(reason, Harmless.SAVER) for name, reason in _SAVER.items()},
    "CacheDataset": Rule(_WRITES, Harmless.EMPTY_FILE_NAME, file_input=1),
    "CacheDatasetV2": Rule(_WRITES, Harmless.EMPTY_FILE_NAME, file_input=1),
    "DecodeProtoV2": Rule(
        _READS,
        Harmless.NO_FILE,
        attribute="descriptor_source",
        no_file=("local://", "bytes://"),
    ),
    "EncodeProto": Rule(
        _READS,
        Harmless.NO_FILE,
        attribute="descriptor_source",
        no_file=("local://", "bytes://"),
    ),
    "FixedUnigramCandidateSampler": Rule(_READS, Harmless.NO_FILE, attribute="vocab_file"),
    "PrintV2": Rule(
        _WRITES,
        Harmless.NO_FILE,
        attribute="output_stream",
        no_file=("stderr", "stdout", "log("),
    ),
}
"""Every operation that is refused, by name."""
