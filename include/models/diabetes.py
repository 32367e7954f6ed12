"""Diabetes progression a year after baseline: 442 patients, from scikit-learn (Efron et al., 2004).

The measurements enter as they were taken, text and numbers: scaling and vocabularies are part of
the graph, so a client needs to know nothing about them. `bmi_class` is derived from the body mass
index by the thresholds of the World Health Organization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tf_keras
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from slipway.definition import Examples

if TYPE_CHECKING:
    from slipway.definition import Split

BMI_LIMITS = (18.5, 25.0, 30.0)
BMI_CLASSES = ["underweight", "normal", "overweight", "obese"]
SEXES = ["sex_1", "sex_2"]  # the data set does not say which is which
NUMBERS = {"age": 1, "bmi": 1, "blood_pressure": 1, "serum": 6}
TARGET_MEAN, TARGET_SPREAD = 152.0, 77.0

LOWER_IS_BETTER = ["median_absolute_error"]


def load_data(split: Split) -> Examples:
    """60% to train, 15% to validate, 25% to test; the label is the progression of the disease."""
    table, progression = load_diabetes(return_X_y=True, scaled=False)
    rest, test = train_test_split(np.arange(len(table)), test_size=0.25, random_state=0)
    train, validation = train_test_split(rest, test_size=0.2, random_state=0)
    chosen = {"train": train, "validation": validation, "test": test}[split]
    rows = table[chosen]
    inputs = {
        "age": rows[:, 0:1].astype(np.float32),
        "sex": np.array([[f"sex_{int(value)}"] for value in rows[:, 1]], dtype=object),
        "bmi": rows[:, 2:3].astype(np.float32),
        "bmi_class": np.array(
            [[BMI_CLASSES[np.digitize(value, BMI_LIMITS)]] for value in rows[:, 2]], dtype=object
        ),
        "blood_pressure": rows[:, 3:4].astype(np.float32),
        "serum": rows[:, 4:10].astype(np.float32),
    }
    return Examples(inputs, progression[chosen].astype(np.float32).reshape(-1, 1))


def build_model() -> tf_keras.Model:
    """Preprocessing, then two dense layers."""
    return _network(hidden=(64, 32), dropout=0.2)


def build_student() -> tf_keras.Model:
    """Preprocessing, then one small dense layer."""
    return _network(hidden=(8,), dropout=0.0)


def median_absolute_error(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Half of the patients are predicted at least this well."""
    return float(np.median(np.abs(labels.reshape(-1) - outputs.reshape(-1))))


METRICS = {"median_absolute_error": median_absolute_error}


def slices(examples: Examples) -> dict[str, np.ndarray]:
    """One slice a sex and one a class of body mass index."""
    sex, bmi_class = examples.inputs["sex"][:, 0], examples.inputs["bmi_class"][:, 0]
    by_sex = {name: sex == name for name in SEXES}
    return by_sex | {name: bmi_class == name for name in BMI_CLASSES}


def _network(hidden: tuple[int, ...], dropout: float) -> tf_keras.Model:
    layers = tf_keras.layers
    train = load_data("train").inputs
    inputs: dict[str, tf_keras.KerasTensor] = {}
    features = []
    for name, vocabulary in (("sex", SEXES), ("bmi_class", BMI_CLASSES)):
        inputs[name] = tf_keras.Input((1,), dtype="string", name=name)
        lookup = layers.StringLookup(vocabulary=vocabulary, name=f"{name}_index")
        embed = layers.Embedding(len(vocabulary) + 1, 2, name=f"{name}_embedding")
        flat = layers.Flatten(name=f"{name}_flat")
        features.append(flat(embed(lookup(inputs[name]))))
    for name, size in NUMBERS.items():
        inputs[name] = tf_keras.Input((size,), name=name)
        scale = layers.Normalization(
            mean=train[name].mean(axis=0), variance=train[name].var(axis=0), name=f"{name}_scaled"
        )
        features.append(scale(inputs[name]))
    flow = layers.Concatenate(name="features")(features)
    for index, units in enumerate(hidden, start=1):
        flow = layers.Dense(units, activation="relu", name=f"hidden{index}")(flow)
        flow = layers.Dropout(dropout, name=f"dropout{index}")(flow)
    scaled = layers.Dense(1, name="scaled_progression")(flow)
    progression = layers.Rescaling(TARGET_SPREAD, offset=TARGET_MEAN, name="progression")(scaled)
    model = tf_keras.Model(inputs=list(inputs.values()), outputs=progression)
    # The loss is in units of the target's spread, so that Adam's usual rates fit.
    model.compile(
        optimizer=tf_keras.optimizers.Adam(2e-3),
        loss=tf_keras.losses.Huber(delta=TARGET_SPREAD),
    )
    return model
