"""For programs: the keys and script of a federation, and one member's daemon in a thread.

The names and arguments are those of CommerceBlock's ``federation`` package, so that programs written for it go
on working; both classes are thin over the parts that the command uses.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedsm.chains.script import Multisig
from fedsm.config import DEFAULT_DATA_DIRECTORY, DEFAULT_INTERVAL_MS, DEFAULT_RPC_PORT, DaemonConfig, NodeAccess
from fedsm.daemon import Daemon
from fedsm.errors import FedsmError
from fedsm.log import get_logger
from fedsm.pace import interval_of
from fedsm.web.settings import OFF, parse_http
from signers.base import Signer
from signers.software import SoftwareSigner, encode_wif, generate_key
from transports.kafka_settings import DEFAULT_SERVERS, KafkaSettings, parse_servers

WIF_PREFIX_TEST = 239


class MultiSig:
    """New keys for ``nodes`` members and the script of which ``sigs`` must sign.

    ``keys`` are the private keys (32 bytes each, from the system's random source), ``wifs`` the same in WIF with
    version byte ``wif_prefix``, ``public_keys`` the compressed public keys (33 bytes), ``script`` the bare
    multisig script in hex. Raises ScriptError for numbers that make no multisig.
    """

    def __init__(self, nodes: int, sigs: int, compressed: bool = True, wif_prefix: int = WIF_PREFIX_TEST) -> None:
        if not compressed:
            raise ValueError("block-signing scripts are made of compressed keys only")
        self.num_of_nodes = nodes
        self.num_of_sigs = sigs
        self.is_compressed = compressed
        self.wif_prefix = wif_prefix
        self.keys = [generate_key() for _ in range(nodes)]
        self.wifs = [encode_wif(key, wif_prefix) for key in self.keys]
        self.public_keys = [SoftwareSigner(key).public_key for key in self.keys]
        self.script = Multisig(sigs, tuple(self.public_keys)).script.hex()


class BlockSigning(threading.Thread):
    """One member's signing daemon, to ``start``, ``stop`` and ``join``.

    ``conf`` holds id, rpcuser and rpcpassword (or rpccookiefile), and may hold rpcconnect, rpcport, blocktime
    (seconds), keyfile, datadir, http ("host:port" where health and metrics are served), nsigs, which must then be
    the chain's M, and msgtype ("zmq" or "kafka") with kafka (the brokers, "host:port,...").
    ``nodes`` lists the members' addresses "host:port"; without any msgtype is kafka. ``signer`` replaces key file
    and node wallet. After the thread has ended, ``error`` is the FedsmError that ended it, None if it was stopped.
    Raises ValueError for a block time out of range and for reissuance, which is not part of this version,
    TransportError for a malformed broker, FedsmError for an address of http that is none.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        nodes: Sequence[str],
        in_rate: float = 0,
        in_period: int = 0,  # noqa: ARG002 - the reissuance arguments of the old class
        in_address: str = "",  # noqa: ARG002
        script: str = "",  # noqa: ARG002
        signer: Signer | None = None,
    ) -> None:
        super().__init__(name=f"member-{conf['id']}", daemon=True)
        if in_rate > 0:
            raise ValueError("reissuance (in_rate) is not part of this version of fedsm")
        self._daemon = Daemon(_config(conf, nodes), get_logger(member=conf["id"]), signer=signer)
        self.error: FedsmError | None = None

    def run(self) -> None:
        """The thread's work; call ``start``."""
        try:
            self._daemon.run()
        except FedsmError as error:
            self.error = error

    def stop(self) -> None:
        """Ask the daemon to end; ``join`` waits for it."""
        self._daemon.stop()

    def stopped(self) -> bool:
        """Whether the daemon has been started and has ended, by itself or after ``stop``."""
        return self.ident is not None and not self.is_alive()


def _config(conf: Mapping[str, Any], nodes: Sequence[str]) -> DaemonConfig:
    cookie, key_file = conf.get("rpccookiefile"), conf.get("keyfile")
    addresses = ",".join(node for node in nodes if node)
    transport = conf.get("msgtype", "zmq" if addresses else "kafka")
    if transport not in ("zmq", "kafka"):
        raise ValueError(f"msgtype is {transport!r}, not zmq or kafka")
    servers = parse_servers(conf.get("kafka", DEFAULT_SERVERS))
    return DaemonConfig(
        member=int(conf["id"]),
        nodes=addresses,
        transports=(transport,),
        kafka=KafkaSettings(servers) if transport == "kafka" else None,
        node=NodeAccess(
            host=conf.get("rpcconnect", "127.0.0.1"),
            port=int(conf.get("rpcport", DEFAULT_RPC_PORT)),
            user=conf.get("rpcuser"),
            password=conf.get("rpcpassword"),
            cookie_file=None if cookie is None else Path(cookie),
        ),
        interval_ms=interval_of(float(conf["blocktime"])) if "blocktime" in conf else DEFAULT_INTERVAL_MS,
        data_directory=Path(conf.get("datadir", DEFAULT_DATA_DIRECTORY)),
        key_file=None if key_file is None else Path(key_file),
        threshold=conf.get("nsigs"),
        http=parse_http(conf.get("http", OFF), None),
    )
