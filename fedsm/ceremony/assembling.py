"""Makes the file that all members share out of their cards."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import msgspec

from fedsm.ceremony.card import MemberCard
from fedsm.ceremony.chain import genesis_of
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile, MemberEntry, check


def assemble(
    cards: Sequence[MemberCard],
    *,
    chain: str,
    threshold: int,
    interval: float,
    quorum: int | None,
    free_coins: int,
    genesis: str | None,
) -> FederationFile:
    """The federation of these cards; the order of the cards is the order of the members.

    ``genesis`` is the hash of a chain that exists; without it a new chain is described by ``chain``, its name, and
    ``free_coins``. FedsmError names the card or number that is wrong.
    """
    _check_cards(cards, chain)
    members = tuple(
        MemberEntry(number, card.public_key, address=card.address, curve=card.curve)
        for number, card in enumerate(cards)
    )
    file = FederationFile(
        chain="00" * 32 if genesis is None else genesis,
        threshold=threshold,
        interval=interval,
        member=members,
        quorum=quorum,
        name=chain if genesis is None else None,
        free_coins=free_coins if genesis is None else None,
    )
    check(file)
    return file if genesis is not None else msgspec.structs.replace(file, chain=genesis_of(file))


def _check_cards(cards: Sequence[MemberCard], chain: str) -> None:
    for number, card in enumerate(cards):
        if card.chain != chain:
            raise FedsmError(f"card {number} ({card.name}) is for chain {card.chain}, not {chain}")
    for (one, card), (other, twin) in combinations(enumerate(cards), 2):
        for field, words in (
            ("public_key", "block-signing key"),
            ("curve", "CURVE key"),
            ("address", "address"),
            ("name", "name"),
        ):
            if getattr(card, field) == getattr(twin, field):
                raise FedsmError(f"cards {one} ({card.name}) and {other} ({twin.name}) have the same {words}")
