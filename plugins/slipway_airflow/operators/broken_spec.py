"""The only task of a model whose spec cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.errors import SlipwayError


class BrokenSpecOperator(BaseOperator):
    """Fails with everything that is wrong with a spec.

    Args:
        error: What is wrong.
    """

    ui_color = "#f7d9d9"

    def __init__(self, *, error: SlipwayError, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error = error

    def execute(self, context: Context) -> NoReturn:  # noqa: ARG002  # Airflow's signature
        """Fail.

        Raises:
            TerminalError: always.
        """
        raise self.error
