"""The local model server: TensorFlow Serving's REST side, in one process, without a container.

Same flags, config files, paths, JSON and metrics as TensorFlow Serving, so that moving to the real
one changes nothing else. What differs, on purpose:

- The port opens at once and answers 404 while nothing is loaded; TensorFlow Serving opens it after
  the first load and gives up when that fails.
- ``s3://`` base paths are read by Slipway's published layout: only versions with a valid manifest
  exist, and no byte is served whose checksum is wrong.
- It listens on loopback unless ``--rest_api_host`` says otherwise, and offers no gRPC, no batching,
  no ``:classify`` and no ``:regress``.
- A SavedModel without ``variables.index`` fails to load; TensorFlow Serving loads it and fails at
  the first request.
"""

from __future__ import annotations

from slipway.serving.server.app import Server, main
from slipway.serving.server.flags import ServerFlags, parse_flags

__all__ = ["Server", "ServerFlags", "main", "parse_flags"]
