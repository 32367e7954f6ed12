"""Distill: train a student on the teacher's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, PositiveInt

from slipway.errors import TerminalError
from slipway.modelling import artifacts, distillation, keras, training
from slipway.modelling.export import feed
from slipway.spec.base import Ratio, StepConfig

if TYPE_CHECKING:
    from slipway.steps.base import StepContext, StepOutput


class DistillConfig(StepConfig):
    """Distillation of the variant it starts from into the definition's student."""

    temperature: PositiveFloat = Field(4.0, description="Softens teacher and student alike.")
    alpha: Ratio = Field(
        0.3, description="Weight of the loss on the labels; 1 - alpha goes to the teacher."
    )
    epochs: PositiveInt = Field(30, description="Passes over the training split.")
    batch_size: PositiveInt = Field(32, description="Examples a step.")
    learning_rate: PositiveFloat | None = Field(None, description="Default: as in training.")


def run(context: StepContext) -> StepOutput:
    """Train the definition's student on the teacher's answers and on the labels.

    Raises:
        TerminalError: if the student takes or gives something else than the teacher, or training
            fails.
    """
    config = context.config(DistillConfig)
    keras.make_repeatable(context.request.seed)
    definition = context.definition()
    teacher, original = keras.load_model(context, definition)
    student = keras.build(definition, "build_student")
    _require_same_outputs(context, teacher, student)
    work = artifacts.open_work(context, definition, student)
    answers = [
        teacher.predict(feed(teacher, examples.inputs), batch_size=256, verbose=0)
        for examples in (work.train, work.validation)
    ]
    context.say("the teacher has answered; the student learns")
    loss = distillation.student_loss(
        teacher, student, temperature=config.temperature, alpha=config.alpha
    )
    labels = (work.train.labels, work.validation.labels)
    learner = distillation.learner(student, loss)
    training.compile_like(learner, student, config.learning_rate)
    metrics = training.fit(
        context,
        learner,
        work.train,
        work.validation,
        epochs=config.epochs,
        batch_size=config.batch_size,
        targets=((labels[0], answers[0]), (labels[1], answers[1])),
    )
    teacher_parameters = keras.parameter_count(teacher)
    metrics["teacher_parameters"] = float(teacher_parameters)
    metrics["parameter_ratio"] = teacher_parameters / max(keras.parameter_count(student), 1)
    architecture = keras.Architecture("build_student", original.outputs)
    details = {"answers": distillation.answers_of(teacher).kind}
    return artifacts.finish(context, work, student, architecture, metrics, details)


def _require_same_outputs(context: StepContext, teacher: Any, student: Any) -> None:
    shapes = [
        [list(shape) for shape in distillation.output_shapes(model)] for model in (teacher, student)
    ]
    if shapes[0] != shapes[1]:
        raise TerminalError(
            f"{context.variant}: the student answers with the shape {_shown(shapes[1])}, the "
            f"teacher with {_shown(shapes[0])}",
            hint="let build_student end in the same outputs as build_model",
            subject="build_student",
        )
    if len(shapes[0]) != 1:
        raise TerminalError(
            f"{context.variant}: the teacher has {len(shapes[0])} outputs; distill works on one",
            hint="distill in a training loop of your own, or leave this variant out",
            subject="build_model",
        )


def _shown(shapes: list[list[int | None]]) -> str:
    return " and ".join(
        f"[{', '.join('?' if size is None else str(size) for size in shape)}]" for shape in shapes
    )
