"""The probe suite: every probe, by topic."""

from __future__ import annotations

from detr2litert.verify.probe.probe import Probe
from detr2litert.verify.probe.suite import (
    accepted,
    composites,
    constants,
    emitted,
    fuzzed,
    half,
    matrices,
    native,
    outputs,
    padding,
    quantised,
    refused,
)

SUITE: tuple[Probe, ...] = tuple(
    probe
    for topic in (refused, constants, padding, matrices, outputs, composites, emitted, quantised, fuzzed, accepted, native)
    for probe in topic.PROBES
)
"""What the delegate does in fp32, in the order in which the probes run. The lint's rules are based on these."""

FP16_SUITE: tuple[Probe, ...] = (*half.PROBES, *native.FP16_PROBES)
"""Effects of fp16, on an adapter that computes in it."""
