"""Upkeep of a published model: retention, repair and adoption."""
