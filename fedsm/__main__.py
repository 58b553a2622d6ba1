"""``python -m fedsm`` is the fedsm command."""

from __future__ import annotations

from fedsm.cli import main

main()
