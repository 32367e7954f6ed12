"""Which operator runs which step of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway_airflow.operators.adopt import AdoptOperator
from slipway_airflow.operators.benchmark import BenchmarkOperator
from slipway_airflow.operators.cast import CastOperator
from slipway_airflow.operators.check import CheckOperator
from slipway_airflow.operators.deploy import DeployOperator
from slipway_airflow.operators.distill import DistillOperator
from slipway_airflow.operators.import_saved_model import ImportSavedModelOperator
from slipway_airflow.operators.onnx_convert import OnnxConvertOperator
from slipway_airflow.operators.preflight import PreflightOperator
from slipway_airflow.operators.probe import ProbeOperator
from slipway_airflow.operators.promote import PromoteOperator
from slipway_airflow.operators.prune import PruneOperator
from slipway_airflow.operators.publish import PublishOperator
from slipway_airflow.operators.quantize import QuantizeOperator
from slipway_airflow.operators.retention import RetentionOperator
from slipway_airflow.operators.rollback import RollbackOperator
from slipway_airflow.operators.select import SelectOperator
from slipway_airflow.operators.shift import ShiftOperator
from slipway_airflow.operators.tensorrt_build import TensorRTBuildOperator
from slipway_airflow.operators.tflite_convert import TFLiteConvertOperator
from slipway_airflow.operators.train_export import TrainExportOperator
from slipway_airflow.operators.validate import ValidateOperator

if TYPE_CHECKING:
    from slipway_airflow.operators.base import StepOperator

OPERATORS: dict[str, type[StepOperator]] = {
    "adopt": AdoptOperator,
    "benchmark": BenchmarkOperator,
    "cast": CastOperator,
    "check": CheckOperator,
    "deploy": DeployOperator,
    "distill": DistillOperator,
    "gc": RetentionOperator,
    "import": ImportSavedModelOperator,
    "onnx": OnnxConvertOperator,
    "preflight": PreflightOperator,
    "probe": ProbeOperator,
    "promote": PromoteOperator,
    "prune": PruneOperator,
    "publish": PublishOperator,
    "quantize": QuantizeOperator,
    "rollback": RollbackOperator,
    "select": SelectOperator,
    "shift": ShiftOperator,
    "tensorrt": TensorRTBuildOperator,
    "tflite": TFLiteConvertOperator,
    "train": TrainExportOperator,
    "validate": ValidateOperator,
}
