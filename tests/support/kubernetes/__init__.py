"""A real Kubernetes for tests: see tests/kubernetes/README.md."""
