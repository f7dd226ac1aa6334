"""What a probe must do to show a lint rule, by the rule's severity."""

from __future__ import annotations

from detr2litert.verify.probe.probe import Behaviour

FAILING = {"refused": (Behaviour.REFUSED, Behaviour.DIED), "wrong": (Behaviour.WRONG, Behaviour.DIED)}
