"""Pictures of the operator's page for docs/: python -m tests.page_pictures docs"""

from __future__ import annotations

import base64
import sys
import tempfile
import time
from pathlib import Path

from tests.browser import chromium
from tests.integration.federation import Federation

BLOCKS = 40
SETTLED_S = 3.0


def main(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        Federation(Path(directory), "devnet", members=5, threshold=3, interval_s=1.0, http=True) as fed,
    ):
        fed.cast.start()
        fed.wait_height(BLOCKS // 2, limit_s=3 * BLOCKS)
        fed.cast.daemons[3].kill()
        fed.wait_height(BLOCKS, [0, 1, 2, 4], limit_s=3 * BLOCKS)
        assert fed.http_ports is not None
        for colours, width, height in (("light", 1280, 1180), ("dark", 1280, 1180), ("light", 390, 2300)):
            with chromium(width, height, colours=colours) as browser:
                browser.get(f"http://127.0.0.1:{fed.http_ports[0]}/")
                time.sleep(SETTLED_S)
                picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
                name = f"page-{colours}.png" if width > 500 else "page-phone.png"
                (folder / name).write_bytes(base64.b64decode(picture))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
