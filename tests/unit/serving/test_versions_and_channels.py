"""Numbers are never reused and a stale writer never wins, whatever the order of events."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from slipway.errors import TerminalError
from slipway.serving.channels import Channel, clear_channel, move_channel, read_channel
from slipway.serving.layout import Layout, Manifest
from slipway.serving.ledger_changes import allocate, mark, read_ledger
from slipway.storage import Store, open_store

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = Layout("digits")


def digest(content: int) -> str:
    return f"{content:064x}"


def add_version(store: Store, content: int) -> int:
    version = allocate(store, "digits", digest(content)).version
    manifest = Manifest(
        model="digits",
        version=version,
        digest=digest(content),
        files=(),
        variant="v",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    store.put(LAYOUT.manifest(version), manifest.to_bytes())
    mark(store, "digits", version, "published")
    return version


class VersionsAndChannels(RuleBasedStateMachine):
    seen = Bundle("seen")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(self.folder.name)
        self.bound: dict[int, int] = {}
        self.removed: set[int] = set()
        self.generation = 0
        self.target: int | None = None
        self.ledger_generation = 0

    @rule(content=st.integers(1, 4))
    def publish(self, content: int) -> None:
        version = add_version(self.store, content)
        living = {v for v, c in self.bound.items() if c == content} - self.removed
        if living:
            assert {version} == living
        else:
            assert version == len(self.bound) + 1
        self.bound[version] = content

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.bound:
            version = data.draw(st.sampled_from(sorted(self.bound)))
            marked = mark(self.store, "digits", version, "removed")
            assert marked == (version != self.target)
            if marked:
                self.removed.add(version)

    @rule(data=st.data())
    def what_is_removed_stays_so(self, data: st.DataObject) -> None:
        if self.removed:
            version = data.draw(st.sampled_from(sorted(self.removed)))
            assert not mark(self.store, "digits", version, "published")

    @rule(target=seen)
    def look(self) -> int:
        channel = read_channel(self.store, "digits", "stable")
        return channel.generation if channel else 0

    @rule(expected=consumes(seen), data=st.data())
    def move(self, expected: int, data: st.DataObject) -> None:
        if not self.bound:
            return
        version = data.draw(st.sampled_from(sorted(self.bound)))

        def act(who: str) -> Channel:
            return move_channel(
                self.store,
                "digits",
                "stable",
                version=version,
                digest=digest(self.bound[version]),
                expected_generation=expected,
                moved_by=who,
            )

        self.try_to_write(expected, version, act)

    @rule(expected=consumes(seen))
    def clear(self, expected: int) -> None:
        def act(who: str) -> Channel:
            return clear_channel(
                self.store, "digits", "stable", expected_generation=expected, moved_by=who
            )

        self.try_to_write(expected, None, act)

    def try_to_write(self, expected: int, version: int | None, act) -> None:  # noqa: ANN001 - either of the two above
        who = f"run after {self.generation}"
        if expected == self.generation and version in self.removed:
            with pytest.raises(TerminalError, match="was removed by retention"):
                act(who)
            return
        if expected == self.generation:
            channel = act(who)
            assert channel.generation == expected + 1
            assert act(who) == channel, "the same move again is the same move"
            self.generation, self.target = channel.generation, version
            return
        with pytest.raises(TerminalError, match="not at generation"):
            act(who)

    @invariant()
    def the_channel_is_where_the_last_winner_left_it(self) -> None:
        channel = read_channel(self.store, "digits", "stable")
        if self.generation == 0:
            assert channel is None
        else:
            assert channel is not None
            assert (channel.generation, channel.version) == (self.generation, self.target)

    @invariant()
    def the_ledger_only_grows(self) -> None:
        ledger = read_ledger(self.store, "digits")
        assert {v: e.digest for v, e in ledger.versions.items()} == {
            v: digest(c) for v, c in self.bound.items()
        }
        assert ledger.next_version == len(self.bound) + 1
        assert ledger.generation >= self.ledger_generation
        self.ledger_generation = ledger.generation

    def teardown(self) -> None:
        self.folder.cleanup()


TestVersionsAndChannels = VersionsAndChannels.TestCase
TestVersionsAndChannels.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_a_stale_writer_learns_who_was_faster(tmp_path: Path):
    store = open_store(str(tmp_path))
    for content in (1, 2):
        add_version(store, content)
    move_channel(
        store, "digits", "canary", version=2, digest=digest(2), expected_generation=0, moved_by="b"
    )
    with pytest.raises(TerminalError, match="b moved it to version 2") as caught:
        move_channel(
            store,
            "digits",
            "canary",
            version=1,
            digest=digest(1),
            expected_generation=0,
            moved_by="a",
        )
    assert caught.value.details == {"expected": 0, "found": 1}


def test_a_channel_never_points_to_other_content_than_was_meant(tmp_path: Path):
    store = open_store(str(tmp_path))
    add_version(store, 1)
    with pytest.raises(TerminalError, match="has digest"):
        move_channel(store, "digits", "stable", version=1, digest=digest(2), expected_generation=0)
    with pytest.raises(TerminalError, match="no version 7"):
        move_channel(store, "digits", "stable", version=7, digest=digest(1), expected_generation=0)
    assert read_channel(store, "digits", "stable") is None


@pytest.mark.parametrize("data", [b"", b"{}", b'{"generation": -1}'])
def test_damaged_bookkeeping_is_terminal(tmp_path: Path, data: bytes):
    store = open_store(str(tmp_path))
    store.put(LAYOUT.channel("stable"), data)
    with pytest.raises(TerminalError, match=r"channels/stable\.json is damaged"):
        read_channel(store, "digits", "stable")


def test_a_damaged_ledger_is_terminal_and_left_alone(tmp_path: Path):
    store = open_store(str(tmp_path))
    store.put(LAYOUT.ledger, b"half")
    with pytest.raises(TerminalError, match=r"ledger\.json is damaged"):
        allocate(store, "digits", digest(1))
    found = store.get(LAYOUT.ledger)
    assert found is not None
    assert found.data == b"half"


def test_a_ledger_of_a_newer_slipway_is_neither_read_nor_written(tmp_path: Path):
    store = open_store(str(tmp_path))
    path = LAYOUT.ledger
    newer = b'{"schema_version": 99, "next_version": 7, "holds": ["a version"]}'
    store.put(path, newer)
    with pytest.raises(TerminalError, match="has schema 99; this Slipway knows 1"):
        allocate(store, "digits", digest(1))
    found = store.get(path)
    assert found is not None
    assert found.data == newer
