"""A notifier that writes what it is told to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context


class Told(BaseNotifier):
    """Adds `text`, a template, to `file`."""

    template_fields = ("text",)

    def __init__(self, *, file: str, text: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.file, self.text = file, text

    def notify(self, context: Context) -> None:  # noqa: ARG002 - the fields are rendered already
        with Path(self.file).open("a", encoding="utf-8") as file:
            file.write(f"{self.text}\n")
