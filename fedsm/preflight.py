"""What a configuration says, held against the chain: the same for a daemon at its start and for fedsm doctor."""

from __future__ import annotations

from fedsm.chains.base import ChainIdentity, FederationScript
from fedsm.config import DaemonConfig
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile
from states.quorum import Quorum, default_vote_quorum


def witness_scripts(config: DaemonConfig) -> list[bytes]:
    """The multisig scripts that are configured, for a chain that names only their hash."""
    file = config.federation
    scripts = [config.witness_script, None if file is None else file.multisig.script]
    return [script for script in scripts if script is not None]


def check_federation_file(
    file: FederationFile | None, identity: ChainIdentity, federation: FederationScript
) -> None:
    """FedsmError unless the federation file, if there is one, speaks of this chain and of its signers."""
    if file is None:
        return
    if file.chain != identity.genesis:
        raise FedsmError(f"the federation file is for chain {file.chain}, the node is on {identity.genesis}")
    if file.multisig != federation.multisig:
        raise FedsmError(
            f"the federation file's members and threshold make the script {file.multisig.script.hex()}, the "
            f"chain is signed by {federation.multisig.script.hex()}"
        )


def quorum_of(config: DaemonConfig, federation: FederationScript) -> Quorum:
    """N and M of the chain with the configured Q. FedsmError if they do not go together."""
    multisig = federation.multisig
    if config.threshold not in (None, multisig.m):
        raise FedsmError(f"nsigs is {config.threshold}, the chain's block-signing script needs {multisig.m}")
    votes = config.vote_quorum or default_vote_quorum(multisig.n, multisig.m)
    try:
        return Quorum(multisig.n, multisig.m, votes)
    except ValueError as error:
        raise FedsmError(f"--quorum: {error}") from None
