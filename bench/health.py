"""How often and how fast the health gate is right, over simulated rollouts.

    .venv/bin/python bench/health.py [--rollouts 1000] [--json out.json]

Requests come by chance, 10 a second, fail and are slow by chance, and are scraped every 5 s at a
random phase; the real judge looks at them under `promise: {error_ratio: 0.05, within_seconds: 90}`.
Healthy canaries fail 0.2% of requests, bad ones 5%, slow ones answer 30% above the limit on p90.
`probe_only`: no clients ask, so nothing comes after the requests of a default probe, and the canary
fails as many of them, 0.5%, as the promise tolerates at most.
Latency is shown to the judge as the side of the limit that the quantile is on.

Beside it, on the first 100 of the bad rollouts, scraped every 15 s, the arithmetic of:

- Flagger: request-success-rate at least 99 over 1m (fluxcd.io/flagger/usage/metrics), looked at
  every 1m, rolled back after 5 failed checks (docs/gitbook/how-it-works.md; 10 in later ones).
- Argo Rollouts: the background analysis of its docs/features/analysis.md, interval 5m and three
  failed measurements, with the same 99% in place of the example's 95%, which 5% errors sit on.
  Its first measurement counts after the first interval; right at the start, it would save one.

Exit status 1 if a limit is broken.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from slipway.spec.rollout import RolloutSpec
from support.simulated_rollouts import PEERS, Ended, judged, peer, policy, scrapes

RATE = 10.0
ERRORS = 0.05
LARGEST_RISK = 0.005  # of false alarms and of misses
LARGEST_UNDECIDED = 0.02  # by the probe alone, which is made for 99 of 100
LARGEST_DETECTION_SECONDS = 90.0  # p99
PEER_ROLLOUTS = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count = options.rollouts
    healthy = _rollouts(count, errors=0.002, first=0)
    found: dict[str, Any] = {
        "rollouts": count,
        "false_alarms": _share(healthy, "unhealthy"),
        "healthy_not_passed": 1 - _share(healthy, "healthy"),
        "first_50_healthy_passed": sum(each.verdict == "healthy" for each in healthy[:50]),
        "probe_only_not_passed": 1 - _share(_probe_only(count), "healthy"),
        "healthy_median_seconds": statistics.median(each.seconds for each in healthy),
    }
    for name, faults in {"errors": {"errors": 0.05}, "slow": {"errors": 0.0, "slow": 0.3}}.items():
        bad = _rollouts(count, first=10**6, **faults)
        found[f"{name}_missed"] = _share(bad, "healthy")
        found[f"{name}_seconds"] = _times(bad)
    found["peers_seconds"] = {name: _peer(name) for name in PEERS}
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), "utf-8")
    broken = _broken(found)
    print("\n".join(broken) or "every limit holds")
    return 1 if broken else 0


def _rollouts(count: int, *, first: int, **faults: Any) -> list[Ended]:
    return [
        judged(policy(), scrapes(seed=first + n, per_second=RATE, **faults)) for n in range(count)
    ]


def _probe_only(count: int) -> list[Ended]:
    spec = {"strategy": "canary", "health": {"promise": {"error_ratio": ERRORS}}}
    most = RolloutSpec.model_validate(spec).probe.requests
    return _rollouts(count, first=2 * 10**6, errors=ERRORS / 10, most=most)


def _peer(name: str) -> dict[str, float]:
    seeds = range(10**6, 10**6 + PEER_ROLLOUTS)
    return _times([peer(name, seed=seed, per_second=RATE, errors=0.05) for seed in seeds])


def _times(ends: list[Ended]) -> dict[str, float]:
    seconds = sorted(each.seconds for each in ends if each.verdict == "unhealthy")
    return {
        "caught": len(seconds) / len(ends),
        "median": statistics.median(seconds),
        "p99": seconds[int(0.99 * (len(seconds) - 1))],
    }


def _share(ends: list[Ended], verdict: str) -> float:
    return sum(each.verdict == verdict for each in ends) / len(ends)


def _broken(found: dict[str, Any]) -> list[str]:
    limits = {
        "false alarms": (found["false_alarms"], LARGEST_RISK),
        "healthy not passed": (found["healthy_not_passed"], LARGEST_RISK),
        "not passed by the probe alone": (found["probe_only_not_passed"], LARGEST_UNDECIDED),
        "errors missed": (found["errors_missed"], LARGEST_RISK),
        "slow missed": (found["slow_missed"], LARGEST_RISK),
        "seconds to catch errors, p99": (found["errors_seconds"]["p99"], LARGEST_DETECTION_SECONDS),
        "seconds to catch slow, p99": (found["slow_seconds"]["p99"], LARGEST_DETECTION_SECONDS),
        "of 50 healthy rejected": (50 - found["first_50_healthy_passed"], 0),
    }
    return [f"{name}: {value} > {most}" for name, (value, most) in limits.items() if value > most]


if __name__ == "__main__":
    sys.exit(main())
