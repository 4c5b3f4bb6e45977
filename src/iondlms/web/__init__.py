"""The front panel: a web page that shows running meters, and the same as JSON. It only looks.

A process of its own, which asks the meter through its control socket; it needs the extra `web`.
"""

from __future__ import annotations

from .app import make_app
from .asking import Asker
from .server import Listening, serve
from .watch import Watch

__all__ = ["Asker", "Listening", "Watch", "make_app", "serve"]
