"""Optimisation profiles: the shapes for which an engine is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt, model_validator

from slipway.errors import TerminalError
from slipway.spec.base import SpecModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Shape = tuple[PositiveInt, ...]


class ShapeRange(SpecModel):
    """The shapes of one input, the batch included."""

    min: Shape = Field(description="Smallest shape.")
    opt: Shape = Field(description="Shape that the engine is tuned for.")
    max: Shape = Field(description="Largest shape.")

    @model_validator(mode="after")
    def _is_a_range(self) -> ShapeRange:
        counts = [len(shape) for shape in (self.min, self.opt, self.max)]
        if len(set(counts)) > 1:
            msg = f"min, opt and max have {counts[0]}, {counts[1]} and {counts[2]} sizes"
            raise ValueError(msg)
        for low, best, high in zip(self.min, self.opt, self.max, strict=True):
            if not low <= best <= high:
                msg = f"{low}, {best}, {high}: each size must be min <= opt <= max"
                raise ValueError(msg)
        return self

    def covers(self, shape: Sequence[int]) -> bool:
        """Whether every shape of the range is one of an input's; -1 stands for any size."""
        return len(shape) == len(self.min) and all(
            size in {-1, low} and size in {-1, high}
            for size, low, high in zip(shape, self.min, self.max, strict=True)
        )


class BatchRange(SpecModel):
    """How many examples one request may have."""

    min: PositiveInt = Field(1, description="Fewest.")
    opt: PositiveInt = Field(8, description="The number that the engine is tuned for.")
    max: PositiveInt = Field(64, description="Most.")

    @model_validator(mode="after")
    def _is_a_range(self) -> BatchRange:
        if not self.min <= self.opt <= self.max:
            msg = f"{self.min}, {self.opt}, {self.max}: give min <= opt <= max"
            raise ValueError(msg)
        return self


Profile = dict[str, ShapeRange]


def complete_profiles(
    variant: str,
    inputs: Mapping[str, Sequence[int]],
    profiles: Sequence[Profile],
    batch: BatchRange,
) -> tuple[Profile, ...]:
    """Profiles that name every input.

    An input that a profile leaves out takes its sizes from its own shape, and the batch from
    `batch`.

    Args:
        variant: For messages.
        inputs: Shapes by name, -1 for a dynamic size.
        profiles: As the spec gives them; none: one profile by `batch` alone.
        batch: The range of the first size, where it is dynamic.

    Raises:
        TerminalError: A profile names an input that there is not, does not fit its shape, or says
            nothing of a dynamic size other than the batch.
    """
    for number, profile in enumerate(profiles):
        for name, range_ in profile.items():
            _check(variant, f"profiles.{number}.{name}", name, range_, inputs)
    return tuple(
        {name: profile.get(name) or _by_batch(variant, name, shape, batch)
         for name, shape in inputs.items()}
        for profile in (profiles or ({},))
    )  # fmt: skip


def largest_batch(profiles: Sequence[Profile], inputs: Mapping[str, Sequence[int]]) -> int:
    """The largest batch that every input takes; 0 if an input has no dynamic batch."""
    if any(not shape or shape[0] != -1 for shape in inputs.values()):
        return 0
    return min(max(profile[name].max[0] for profile in profiles) for name in inputs)


def shapes_of(profile: Profile) -> Iterator[dict[str, tuple[int, ...]]]:
    """The smallest, the best and the largest shape of every input, together."""
    for which in ("min", "opt", "max"):
        yield {name: getattr(range_, which) for name, range_ in profile.items()}


def described(profiles: Sequence[Profile]) -> list[dict[str, Any]]:
    """The profiles as JSON."""
    return [
        {name: range_.model_dump(mode="json") for name, range_ in profile.items()}
        for profile in profiles
    ]


def _check(
    variant: str, field: str, name: str, range_: ShapeRange, inputs: Mapping[str, Sequence[int]]
) -> None:
    if name not in inputs:
        raise TerminalError(
            f"{variant}: a profile names the input {name!r}, which the model does not have",
            hint=f"it has {', '.join(inputs)}",
            subject=field,
        )
    if not range_.covers(inputs[name]):
        raise TerminalError(
            f"{variant}: the profile of {name} does not fit its shape {list(inputs[name])}",
            hint="give as many sizes, and where the shape has a number, that number; -1 takes any",
            subject=field,
        )


def _by_batch(variant: str, name: str, shape: Sequence[int], batch: BatchRange) -> ShapeRange:
    rest = tuple(shape[1:])
    if -1 in rest:
        raise TerminalError(
            f"{variant}: the input {name} has the dynamic shape {list(shape)}, of which no profile "
            "says how large it gets",
            hint=f"give tensorrt.profiles with min, opt and max of {name}",
            subject=f"profiles.{name}",
        )
    if not shape or shape[0] != -1:
        fixed = tuple(shape)
        return ShapeRange(min=fixed, opt=fixed, max=fixed)
    sizes = {which: (getattr(batch, which), *rest) for which in ("min", "opt", "max")}
    return ShapeRange.model_validate(sizes)
