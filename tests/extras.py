"""What is not installed everywhere: a test that needs it is skipped, and under CI it fails."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

__all__ = ["needs"]


def needs(module: str) -> Any:
    """Return a module of an extra; where it is not installed a skip, and under CI a failure."""
    try:
        return importlib.import_module(module)
    except ImportError:
        reason = f"{module} is not installed: pip install 'iondlms[dev]'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason, allow_module_level=True)
