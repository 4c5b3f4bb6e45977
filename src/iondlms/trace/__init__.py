"""Octets -> a tree that a person can read; captures in and out."""

from __future__ import annotations

from iondlms.trace.blank import Blanker, blanked
from iondlms.trace.capture import Captured, is_capture, read_capture
from iondlms.trace.explain import Explainer, explain, explain_pieces
from iondlms.trace.listen import Heard, Listener
from iondlms.trace.node import Node, render
from iondlms.trace.text import Piece, TraceWriter, read_text, trace_line

__all__ = [
    "Blanker",
    "Captured",
    "Explainer",
    "Heard",
    "Listener",
    "Node",
    "Piece",
    "TraceWriter",
    "blanked",
    "explain",
    "explain_pieces",
    "is_capture",
    "read_capture",
    "read_text",
    "render",
    "trace_line",
]
