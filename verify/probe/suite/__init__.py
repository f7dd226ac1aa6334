"""The suite: every probe, by topic."""

from __future__ import annotations

from verify.probe.probe import Probe
from verify.probe.suite import accepted, composites, constants, matrices, outputs, padding, quantised, refused

SUITE: tuple[Probe, ...] = tuple(
    probe
    for topic in (refused, constants, padding, matrices, outputs, composites, quantised, accepted)
    for probe in topic.PROBES
)
"""All probes of the fp32 suite, in the order in which they run."""
