"""One file a step: its config, and `run`, which works in a process of its own."""
