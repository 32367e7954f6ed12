"""What of a spec cannot work with what there is, known before anything is trained."""

from slipway.doctor.diagnosis import Finding, diagnose, refuse_blocked
from slipway.doctor.facts import Facts, gather

__all__ = ["Facts", "Finding", "diagnose", "gather", "refuse_blocked"]
