"""Breast cancer, malignant or benign: 569 samples, from scikit-learn (UCI WDBC).

The model comes as an exported SavedModel, breast_cancer/saved_model, made once by
breast_cancer/export.py. This definition only gives data, slices and a metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from slipway.definition import Examples

if TYPE_CHECKING:
    from slipway.definition import Split

LARGE_RADIUS_MM = 15.0


def load_data(split: Split) -> Examples:
    """60% to train, 15% to validate, 25% to test; label 1 is benign."""
    table, labels = load_breast_cancer(return_X_y=True)
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=0.25, random_state=0, stratify=labels
    )
    train, validation = train_test_split(rest, test_size=0.2, random_state=0, stratify=labels[rest])
    chosen = {"train": train, "validation": validation, "test": test}[split]
    measurements = table[chosen].astype(np.float32)
    return Examples({"measurements": measurements}, labels[chosen].astype(np.int64))


def recall_of_malignant(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Share of malignant samples that the model calls malignant."""
    malignant = labels.reshape(-1) == 0
    return float(np.mean(outputs.reshape(-1)[malignant] < 0.5))


METRICS = {"recall_of_malignant": recall_of_malignant}


def slices(examples: Examples) -> dict[str, np.ndarray]:
    """Samples with large and with small nuclei."""
    radius = examples.inputs["measurements"][:, 0]
    return {"large_radius": radius >= LARGE_RADIUS_MM, "small_radius": radius < LARGE_RADIUS_MM}
