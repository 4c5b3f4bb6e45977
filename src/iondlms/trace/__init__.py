"""Octets -> a tree that a person can read; captures in and out."""

from __future__ import annotations

from iondlms.trace.blank import Blanker, blanked
from iondlms.trace.explain import Explainer, explain, explain_pieces
from iondlms.trace.node import Node, render
from iondlms.trace.text import Piece, TraceWriter, read_text, trace_line

__all__ = [
    "Blanker",
    "Explainer",
    "Node",
    "Piece",
    "TraceWriter",
    "blanked",
    "explain",
    "explain_pieces",
    "read_text",
    "render",
    "trace_line",
]
