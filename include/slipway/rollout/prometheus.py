"""Asking Prometheus for single numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import httpx

from slipway.errors import TerminalError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_TIMEOUT_SECONDS = 10.0
_SINGLE = 1
# What Prometheus answers when the query itself is wrong, by its HTTP API's documentation.
_REFUSED = frozenset({"bad_data", "not_found"})


class PrometheusClient:
    """The HTTP API of one Prometheus.

    A context manager, which closes its connections.

    Args:
        url: Its base address, such as http://127.0.0.1:9090.
        timeout_seconds: Time limit of one query.
    """

    def __init__(self, url: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(timeout=timeout_seconds, trust_env=False)

    def query(self, promql: str, *, at: float | None = None) -> float | None:
        """Ask for one number.

        Args:
            promql: A query that gives a scalar, or a vector of at most one element.
            at: Unix time in seconds; default: Prometheus' now.

        Returns:
            The number, perhaps NaN; None if there is no such series.

        Raises:
            TerminalError: The query is wrong, or gives more than one number.
            TransientError: Prometheus does not answer, or is not ready.
        """
        form = {"query": promql} if at is None else {"query": promql, "time": f"{at:.3f}"}
        try:
            reply = self._http.post(f"{self.url}/api/v1/query", data=form)
        except httpx.HTTPError as error:
            raise self._unreachable(f"{type(error).__name__}: {error}") from None
        except httpx.InvalidURL as error:
            raise TerminalError(
                f"{self.url} is no address of a Prometheus: {error}",
                hint="correct the address of Prometheus",
                subject=self.url,
            ) from None
        try:
            answer = reply.json()
        except ValueError:
            raise self._unreachable(f"HTTP {reply.status_code} without JSON") from None
        return read_answer(answer, promql)

    def ask(
        self, queries: Mapping[str, str], *, at: float | None = None
    ) -> dict[str, float | None]:
        """Ask for several numbers of one moment, by name; raises as `query`."""
        return {name: self.query(promql, at=at) for name, promql in queries.items()}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _unreachable(self, problem: str) -> TransientError:
        return TransientError(
            f"Prometheus at {self.url} could not be asked: {problem}",
            hint="check that it runs and that the address is right",
            subject=self.url,
        )


def read_answer(answer: Any, promql: str) -> float | None:
    """The number in a reply of /api/v1/query; None if there is no such series.

    Raises:
        TerminalError: The query is wrong, or gives more than one number.
        TransientError: Prometheus could not evaluate it now.
    """
    if not isinstance(answer, dict) or answer.get("status") != "success":
        raise _refusal(answer if isinstance(answer, dict) else {}, promql)
    kind, result = answer["data"]["resultType"], answer["data"]["result"]
    if kind == "scalar":
        return float(result[1])
    if kind != "vector" or len(result) > _SINGLE:
        found = f"{len(result)} numbers" if kind == "vector" else f"a {kind}"
        raise TerminalError(
            f"the query {promql} gives {found}, not one",
            hint="aggregate it, for example with sum() or max()",
            subject=promql,
        )
    return float(result[0]["value"][1]) if result else None


def _refusal(answer: dict[str, Any], promql: str) -> TerminalError | TransientError:
    problem = f"{answer.get('errorType', 'no status')}: {answer.get('error', answer)}"
    if answer.get("errorType") in _REFUSED:
        return TerminalError(
            f"Prometheus refuses the query {promql}: {problem}",
            hint="correct the query in rollout.health.checks",
            subject=promql,
        )
    return TransientError(
        f"Prometheus could not evaluate {promql}: {problem}",
        hint="try again; read Prometheus' log if it stays so",
        subject=promql,
    )
