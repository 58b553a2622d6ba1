"""An asset is issued and paid to and fro on a chain that two of three members sign, in one program.

Run it from the project's directory after ``make setup``: .venv/bin/python examples/asset_issuance.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from fedsm import AssetIssuance, BlockSigning, MultiSig
from fedsm.chains.script import parse_multisig
from fedsm.demo.ports import free_ports
from fedsm.devnet.network import Devnet
from signers.software import SoftwareSigner


def main() -> None:
    """Start a federation, issue an asset, make payments for some blocks, stop."""
    keys = MultiSig(3, 2)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    with (
        tempfile.TemporaryDirectory() as directory,
        Devnet(3, parse_multisig(bytes.fromhex(keys.script)), datadir=Path(directory)) as chain,
    ):
        nodes = [{"rpcport": service.port, "rpccookiefile": service.cookie_file} for service in chain.services]
        members = []
        for i, node in enumerate(nodes):
            conf = {**node, "id": i, "blocktime": 0.5, "datadir": f"{directory}/member-{i}"}
            members.append(BlockSigning(conf, addresses, signer=SoftwareSigner(keys.keys[i])))
        for member in members:
            member.start()

        issuance = AssetIssuance(nodes[0], interval=0.4)
        print("issued asset", issuance.asset)
        issuance.start()
        while chain.services[0].node.chain.tip.height < 5:
            time.sleep(0.1)
        issuance.stop()
        issuance.join()
        for payment in issuance.payments:
            print("paid", payment.satoshi / 10**8, "units in", payment.txid)
        print(len(issuance.payments), "payments")

        for member in members:
            member.stop()
            member.join()


if __name__ == "__main__":
    main()
