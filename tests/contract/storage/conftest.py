"""The suite lies outside the test modules; its assertions should speak all the same."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("contract.storage.suite")
