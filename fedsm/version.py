"""The version of this distribution, the same as in setup.cfg."""

from __future__ import annotations

__version__ = "0.1.0"
