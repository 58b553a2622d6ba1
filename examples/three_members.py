"""Three members of a 2-of-3 federation in one program, on the embedded chain.

Run it from the project's directory after ``make setup``: .venv/bin/python examples/three_members.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from fedsm import BlockSigning, MultiSig
from fedsm.chains.script import parse_multisig
from fedsm.demo.ports import free_ports
from fedsm.devnet.network import Devnet
from signers.software import SoftwareSigner


def main() -> None:
    """Make keys and nodes, start the members, wait for five blocks, stop."""
    keys = MultiSig(3, 2)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    with (
        tempfile.TemporaryDirectory() as directory,
        Devnet(3, parse_multisig(bytes.fromhex(keys.script)), datadir=Path(directory)) as chain,
    ):
        members = []
        for i, service in enumerate(chain.services):
            conf = {
                "id": i,
                "rpcport": service.port,
                "rpccookiefile": service.cookie_file,
                "blocktime": 0.5,
                "datadir": f"{directory}/member-{i}",
            }
            members.append(BlockSigning(conf, addresses, signer=SoftwareSigner(keys.keys[i])))
        for member in members:
            member.start()
        node = chain.services[0].node
        while node.chain.tip.height < 5:
            time.sleep(0.1)
        for member in members:
            member.stop()
            member.join()
        print("five blocks, the last one is", node.chain.tip.hash)


if __name__ == "__main__":
    main()
