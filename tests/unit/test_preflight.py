"""A federation file is held against the chain: the first member or number that is not the chain's is named."""

from __future__ import annotations

from typing import Any

import pytest

from fedsm.chains.base import ChainIdentity, FederationScript
from fedsm.chains.script import Multisig
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile, MemberEntry
from fedsm.preflight import check_federation_file
from tests.members import Member

KEYS = [Member(number).public_key for number in range(4)]
GENESIS = "ab" * 32
IDENTITY = ChainIdentity(GENESIS, "chain", 289900)
MULTISIG = Multisig(2, tuple(KEYS[:3]))
SCRIPT = FederationScript(MULTISIG, False, 150, MULTISIG.script, 150, None)


def check(*keys: bytes, chain: str = GENESIS, threshold: int = 2) -> None:
    members = tuple(MemberEntry(i, key.hex()) for i, key in enumerate(keys))
    check_federation_file(FederationFile(chain, threshold, 60.0, members), IDENTITY, SCRIPT)


def test_a_file_of_the_chains_signers_is_taken_and_so_is_none() -> None:
    check(*KEYS[:3])
    check_federation_file(None, IDENTITY, SCRIPT)


@pytest.mark.parametrize(
    ("keys", "settings", "said"),
    [
        (KEYS[:3], {"chain": "cd" * 32}, f"is for chain {'cd' * 32}, the node is on {GENESIS}"),
        ((KEYS[0], KEYS[1], KEYS[3]), {}, f"member 2 has the key {KEYS[3].hex()}, which is not in"),
        ((KEYS[0], KEYS[2], KEYS[1]), {}, "member 1 has the key that is number 2 in"),
        (KEYS[:2], {}, "it has 2 members, the chain's block-signing script 3"),
        (KEYS[:3], {"threshold": 3}, "its threshold is 3, the chain's block-signing script needs 2"),
    ],
)
def test_what_is_not_the_chains_is_named(keys: tuple[bytes, ...], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FedsmError) as refused:
        check(*keys, **settings)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
