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
        raise FedsmError(f"the federation file is not of this chain's signers: {_difference(file, federation)}")


def _difference(file: FederationFile, federation: FederationScript) -> str:
    """The first thing in which a federation file and the chain's script disagree."""
    chain, ours = federation.multisig, file.multisig
    for member, key in enumerate(ours.public_keys):
        if key not in chain.public_keys:
            return f"member {member} has the key {key.hex()}, which is not in the chain's block-signing script"
        if (place := chain.member_of(key)) != member:
            return f"member {member} has the key that is number {place} in the chain's block-signing script"
    if ours.n != chain.n:
        return f"it has {ours.n} members, the chain's block-signing script {chain.n}"
    return f"its threshold is {ours.m}, the chain's block-signing script needs {chain.m}"


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
