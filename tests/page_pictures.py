"""Pictures of the operator's page for docs/: python -m tests.page_pictures docs"""

from __future__ import annotations

import base64
import sys
import tempfile
import time
from pathlib import Path

from tests.browser import chromium
from tests.integration.federation import Federation
from tests.integration.test_reissuance import Treasury, options

BLOCKS = 40
SETTLED_S = 3.0


def reissuing(directory: Path) -> Federation:
    """A federation with a reissuance schedule, so that the page has a supply curve."""
    fed = Federation(directory, "devnet", members=5, threshold=3, interval_s=1.0, http=True)
    fed._extra = options(fed.multisig.script.hex())
    return fed


def main(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        reissuing(Path(directory)) as fed,
    ):
        Treasury(fed).issue(10**14)
        fed.cast.start()
        fed.wait_height(BLOCKS // 2, limit_s=3 * BLOCKS)
        fed.cast.daemons[3].kill()
        fed.wait_height(BLOCKS, [0, 1, 2, 4], limit_s=3 * BLOCKS)
        assert fed.http_ports is not None
        for colours, width in (("light", 1280), ("dark", 1280), ("dark", 390)):
            with chromium(width, colours=colours) as browser:
                browser.get(f"http://127.0.0.1:{fed.http_ports[0]}/")
                time.sleep(SETTLED_S)
                whole = {"format": "png", "captureBeyondViewport": True}
                picture = browser.execute_cdp_cmd("Page.captureScreenshot", whole)["data"]
                name = f"page-{colours}.png" if width > 500 else "page-phone.png"
                (folder / name).write_bytes(base64.b64decode(picture))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
