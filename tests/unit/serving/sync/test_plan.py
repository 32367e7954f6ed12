"""Which versions are fetched and which may go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slipway.serving.ledger import Ledger, LedgerEntry
from slipway.serving.sync.plan import surplus, wanted

NUMBERS = st.sets(st.integers(1, 30))
STATES = st.sampled_from(["allocated", "published", "removed"])


def ledger_of(states: dict[int, str]) -> Ledger:
    entries = {
        n: LedgerEntry.model_validate({"digest": "d", "state": s}) for n, s in states.items()
    }
    return Ledger(next_version=31, versions=entries)


LEDGERS = st.dictionaries(st.integers(1, 30), STATES).map(ledger_of)


@given(LEDGERS, NUMBERS, st.integers(1, 5), NUMBERS)
def test_wanted_are_the_newest_that_exist_and_those_of_channels(
    ledger: Ledger, channels: set[int], keep: int, missing: set[int]
):
    found = wanted(ledger, channels, keep, missing)
    assert found == sorted(found, reverse=True)
    assert channels - missing <= set(found)
    assert not set(found) & missing
    newest = [version for version in found if version not in channels]
    assert len(newest) <= keep
    assert all(ledger.versions[version].state != "removed" for version in newest)


@given(LEDGERS, NUMBERS, st.integers(1, 5), NUMBERS, NUMBERS)
def test_nothing_goes_that_is_in_use_or_pointed_to_and_something_always_stays(
    ledger: Ledger, channels: set[int], keep: int, ready: set[int], in_use: set[int]
):
    going = surplus(ledger, channels, keep, ready, in_use)
    assert set(going) <= ready - channels - in_use
    assert not ready or set(going) != ready


@given(LEDGERS, NUMBERS, st.integers(1, 5))
def test_what_was_fetched_does_not_go_again(ledger: Ledger, channels: set[int], keep: int):
    fetched = wanted(ledger, channels, keep, set())
    living = [v for v in fetched if v in channels or ledger.versions[v].state != "removed"]
    assert not set(living) & set(surplus(ledger, channels, keep, fetched, set()))
