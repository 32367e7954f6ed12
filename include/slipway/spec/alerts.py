"""Who is told when a run fails or is late."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from slipway.spec.base import SpecModel


class Alert(SpecModel):
    """One of Airflow's notifiers and what it is told."""

    notifier: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$",
        description="Class of an Airflow notifier, such as "
        "airflow.providers.smtp.notifications.smtp.SmtpNotifier; its provider must be installed.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="Its arguments; where it takes templates, {{ slipway.message }} is the alert. "
        "Name a connection; no secrets.",
    )
    when: tuple[Literal["failure", "deadline"], ...] = Field(
        ("failure", "deadline"),
        min_length=1,
        description="failure: a run failed; deadline: it has not ended after deadline_seconds.",
    )
