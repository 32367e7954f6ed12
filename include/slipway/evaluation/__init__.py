"""How a variant is judged: metrics, intervals, golden requests, latency, verdicts."""
