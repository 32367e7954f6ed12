"""The way from any state of file and server to where the channels point, without losing stable."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.rollout.config_file import Serving
from slipway.rollout.converge import is_reached, next_serving
from slipway.rollout.server import Seen

VERSIONS = st.integers(1, 4)
LABELS = ("stable", "canary")


@dataclass
class SimulatedServer:
    """TensorFlow Serving's rules: it takes a config when it likes, labels only what is AVAILABLE.

    Whatever it does in one reload it does in the worst order: it unloads before it labels.
    """

    available: set[int]
    labels: dict[str, int]
    broken: frozenset[int] = frozenset()
    lost: list[str] = field(default_factory=list)

    def reload(self, config: Serving) -> None:
        wanted = set(config.versions) - self.broken
        if not set(config.labels.values()) <= self.available:
            return  # refused as a whole
        for label, version in self.labels.items():
            if label in config.labels and version not in wanted:
                self.lost.append(f"{label} answered with {version}, which went away")
        self.labels = dict(config.labels)
        self.available &= wanted

    def load(self, config: Serving) -> None:
        self.available |= set(config.versions) - self.broken

    def seen(self) -> Seen:
        states = dict.fromkeys(self.available, "AVAILABLE")
        answering = {l: v for l, v in self.labels.items() if v in self.available}  # noqa: E741
        return Seen(states=states, labels=answering)


@st.composite
def servings(draw: st.DrawFn) -> Serving:
    labels = draw(st.dictionaries(st.sampled_from(LABELS), VERSIONS))
    return Serving(frozenset(labels.values()), labels)


@st.composite
def running(draw: st.DrawFn) -> tuple[Serving, SimulatedServer]:
    """A file, and a server that took it, or the one before, or has loaded only part of it."""
    file = draw(servings())
    extra = draw(st.frozensets(VERSIONS))
    available = {v for v in file.versions | extra if draw(st.booleans())}
    labels = {l: v for l, v in file.labels.items() if v in available}  # noqa: E741
    return Serving(file.versions | extra, labels), SimulatedServer(available, labels)


@settings(deadline=None)
@given(state=running(), wanted=servings(), order=st.lists(st.booleans(), max_size=30))
def test_every_state_converges_and_no_wanted_label_is_lost(
    state: tuple[Serving, SimulatedServer], wanted: Serving, order: list[bool]
) -> None:
    file, server = state
    answered = set(server.seen().labels)
    # The server reads and loads in any rhythm; in the end it gets its turn often enough.
    for reads in [*order, *[True, False] * 10]:
        file = next_serving(file, wanted, server.seen())
        assert set(file.labels.values()) <= file.versions
        if reads:
            server.reload(file)
        else:
            server.load(file)
        still = set(server.seen().labels)
        assert answered & wanted.labels.keys() <= still, "a wanted label stopped answering"
        answered |= still
    assert is_reached(next_serving(file, wanted, server.seen()), wanted, server.seen())
    assert server.lost == []


@settings(deadline=None)
@given(state=running(), wanted=servings())
def test_a_label_is_given_only_to_what_is_available(
    state: tuple[Serving, SimulatedServer], wanted: Serving
) -> None:
    file, server = state
    following = next_serving(file, wanted, server.seen())
    for label, version in following.labels.items():
        assert version in server.available or file.labels[label] == version


def test_a_canary_that_killed_the_server_leaves_its_config() -> None:
    file = Serving(frozenset({1, 2}), {"stable": 1, "canary": 2})
    following = next_serving(file, Serving(frozenset({1}), {"stable": 1}), Seen(up=False))
    assert following == Serving(frozenset({1}), {"stable": 1})


def test_a_promotion_while_the_server_is_down_keeps_the_old_version() -> None:
    file = Serving(frozenset({1, 2}), {"stable": 1, "canary": 2})
    following = next_serving(file, Serving(frozenset({2}), {"stable": 2}), Seen(up=False))
    assert following == Serving(frozenset({1, 2}), {"stable": 1})


def test_the_old_version_stays_until_the_label_answers_with_the_new_one() -> None:
    wanted = Serving(frozenset({2}), {"stable": 2})
    states = {1: "AVAILABLE", 2: "AVAILABLE"}
    before = Seen(states=states, labels={"stable": 1})
    after = Seen(states=states, labels={"stable": 2})
    both = Serving(frozenset({1, 2}), {"stable": 2})
    assert next_serving(both, wanted, before) == both
    assert next_serving(both, wanted, after) == wanted
    assert not is_reached(wanted, wanted, after)  # 1 still answers
