"""An SQS server on loopback: moto's, in a process of its own; what it holds dies with it."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from slipway.local.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_START_SECONDS = 60.0
_AT_ONCE = 10
_KEYS = {"aws_access_key_id": "sqs", "aws_secret_access_key": "sqs", "region_name": "us-east-1"}


class SqsServer:
    """The server and its queues.

    Args:
        folder: Where its log goes.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "moto.log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection."""
        extra = {"region_name": "us-east-1", "endpoint_url": self.url}
        return {"conn_type": "aws", "login": "sqs", "password": "sqs", "extra": extra}

    @property
    def client(self) -> Any:
        """boto3's."""
        import boto3

        return boto3.client("sqs", endpoint_url=self.url, **_KEYS)

    def start(self) -> None:
        program = Path(sys.executable).with_name("moto_server")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-H", "127.0.0.1", "-p", str(self.port)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                httpx.get(f"{self.url}/moto-api/data.json", trust_env=False)
            except httpx.TransportError:
                assert time.monotonic() < deadline, self._log.read_text()
                assert self._process.poll() is None, self._log.read_text()
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def create_queue(self, name: str, *, visible_again_seconds: int = 2) -> str:
        """Its URL. What was received and not deleted comes again after a while."""
        attributes = {"VisibilityTimeout": str(visible_again_seconds)}
        answer = self.client.create_queue(QueueName=name, Attributes=attributes)
        return str(answer["QueueUrl"])

    def send(self, url: str, bodies: Sequence[str]) -> None:
        client = self.client
        for start in range(0, len(bodies), _AT_ONCE):
            some = enumerate(bodies[start : start + _AT_ONCE])
            entries = [{"Id": str(n), "MessageBody": body} for n, body in some]
            client.send_message_batch(QueueUrl=url, Entries=entries)

    def left(self, url: str) -> int:
        """Messages that were not deleted, those that somebody has received too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


@contextmanager
def sqs_server(folder: Path) -> Iterator[SqsServer]:
    """Runs the server on a free port; gone afterwards."""
    server = SqsServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
