"""Kubernetes: the cluster's API, manifests, and rollouts there."""
