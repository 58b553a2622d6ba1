"""The height in a block's coinbase, for chains whose headers do not carry it."""

from __future__ import annotations


def coinbase_height(transactions: bytes) -> int | None:
    """The height that the coinbase's script begins with (BIP 34); None if there is none to read.

    ``transactions`` is a block's transaction list with its count in front, as Elements serialises it: version,
    flag byte, one input of a null outpoint, then the script.
    """
    width = {0xFD: 3, 0xFE: 5}.get(transactions[0], 1) if transactions else 1
    script_length = width + 4 + 1 + 1 + 36
    script = (
        transactions[script_length + 1 : script_length + 1 + transactions[script_length]]
        if (len(transactions) > script_length)
        else b""
    )
    if not script:
        return None
    opcode = script[0]
    if opcode == 0x00:
        return 0
    if 0x51 <= opcode <= 0x60:  # OP_1 to OP_16
        return opcode - 0x50
    if 1 <= opcode <= 5 and len(script) > opcode:
        return int.from_bytes(script[1 : 1 + opcode], "little")
    return None
