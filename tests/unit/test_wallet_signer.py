"""The node wallet as signer: recorded answers of both node families, and every refusal in the operator's words."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import wallycore as wally

from signers.base import SignerError
from signers.ecdsa import bitcoin_message_digest, der_to_compact
from signers.software import SoftwareSigner
from signers.wallet import WalletSigner
from tests.elements_vectors import federation_of, load

OCEAN = Path(__file__).parents[1] / "vectors" / "ocean"
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
LEGACY = (load("blocks_predynafed")["chains"][0], load("blocks_predynafed")["chains"][0]["blocks"][1])
DYNAFED = (load("blocks_dynafed")["chains"][1], load("blocks_dynafed")["chains"][1]["blocks"][1])
SIGNBLOCK_UNEXPECTED = "the node answered signblock with something that is not a signature"
NO_KEY = "the wallet holds no usable key for this block: import the member's key or unlock the wallet"
ADDRESS = "2dheZdEbL5tnZ7SvyXUYWPprmBCCvdfQr2B"


class NodeError(Exception):
    """What the RPC client raises for an error of the node."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Node:
    """Answers every call with one value or exception and notes what was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.calls: list[tuple[str, list[Any]]] = []

    def __call__(self, method: str, params: list[Any]) -> object:
        self.calls.append((method, params))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Case:
    """A recorded block and member 0's signer for it, with a node that gives ``answer``."""

    def __init__(self, recorded: tuple[dict[str, Any], dict[str, Any]], answer: object) -> None:
        chain, block = recorded
        federation = federation_of(chain, block)
        self.digest = bytes.fromhex(block["digest"])
        self.block = bytes.fromhex(block["unsigned_block_hex"])
        self.der = block["signatures"][0]["der"]
        self.script = federation["script"]
        self.public_key = bytes.fromhex(federation["members"][0]["pubkey"])
        self.secret = bytes.fromhex(federation["members"][0]["privkey"])
        self.node = Node(answer)
        self.signer = WalletSigner(self.node, self.public_key, witness_script=bytes.fromhex(self.script))

    def sign(self) -> str:
        return self.signer.sign_block(self.digest, self.block).hex()


def entries(recorded: tuple[dict[str, Any], dict[str, Any]], sighash: str = "") -> list[dict[str, str]]:
    return [{"pubkey": s["pubkey"], "sig": s["der"] + sighash} for s in recorded[1]["signatures"]]


def high_s(der: str) -> str:
    compact = der_to_compact(bytes.fromhex(der))
    return str(wally.ec_sig_to_der(compact[:32] + _negated(compact[32:])).hex())


def _negated(s: bytes) -> bytes:
    return (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")


def refusal(case: Case) -> tuple[str, str]:
    """Kind and one-line message of a block that is not signed."""
    with pytest.raises(SignerError) as caught:
        case.sign()
    assert "\n" not in caught.value.message
    return caught.value.kind, caught.value.message


def ocean_rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (OCEAN / name).read_text(encoding="utf-8").splitlines()]


def ocean_digest(block: bytes) -> bytes:
    """Ocean's 172 header bytes, then the challenge with its length; the rest is not signed."""
    return bytes(wally.sha256d(block[: 173 + block[172]]))


# --- Elements


def test_a_legacy_block_is_signed_with_the_block_alone() -> None:
    case = Case(LEGACY, entries(LEGACY)[:1])
    assert case.sign() == case.der
    assert case.node.calls == [("signblock", [case.block.hex()])]


def test_a_dynafed_block_goes_with_the_witness_script_and_loses_its_sighash_byte() -> None:
    case = Case(DYNAFED, entries(DYNAFED, sighash="01")[:1])
    assert case.sign() == case.der
    assert case.node.calls == [("signblock", [case.block.hex(), case.script])]


def test_a_dynafed_block_without_witness_script_is_not_sent() -> None:
    case = Case(DYNAFED, [])
    case.signer = WalletSigner(case.node, case.public_key)
    assert refusal(case) == ("misconfigured", "a dynafed block needs the federation's witness script")
    assert case.node.calls == []


def test_of_several_keys_in_the_wallet_ours_is_taken() -> None:
    case = Case(LEGACY, entries(LEGACY)[::-1])
    assert case.sign() == case.der


def test_a_high_s_signature_is_made_low() -> None:
    case = Case(LEGACY, None)
    case.node.answer = [{"pubkey": case.public_key.hex(), "sig": high_s(case.der)}]
    assert case.sign() == case.der


def test_a_signature_of_another_block_is_refused() -> None:
    case = Case(LEGACY, entries(LEGACY)[:1])
    case.digest = case.digest[::-1]
    kind, message = refusal(case)
    assert kind == "refused"
    assert message == f"the signature does not verify for key {case.public_key.hex()} and this block"


def test_a_signature_of_another_key_under_our_name_is_refused() -> None:
    case = Case(LEGACY, None)
    case.node.answer = [{"pubkey": case.public_key.hex(), "sig": LEGACY[1]["signatures"][1]["der"]}]
    kind, message = refusal(case)
    assert (kind, message[:29]) == ("refused", "the signature does not verify")


def test_only_foreign_signatures_mean_that_our_key_is_missing() -> None:
    kind, message = refusal(Case(LEGACY, entries(LEGACY)[1:]))
    assert (kind, message) == ("misconfigured", NO_KEY)


@pytest.mark.parametrize(
    "answer",
    [None, 7, {}, ["x"], [{"pubkey": None}, 3], "zz", "", "01", "0046", "004c" + "00" * 76, "0000", "00020102"],
)
def test_answers_that_are_no_signatures_are_refused(answer: object) -> None:
    assert refusal(Case(LEGACY, answer)) == ("refused", SIGNBLOCK_UNEXPECTED)


@pytest.mark.parametrize("sig", ["", None, 5, "zz", "30", "3000", LEGACY[1]["signatures"][0]["der"] + "03"])
def test_our_entry_without_a_signature_is_refused(sig: object) -> None:
    case = Case(LEGACY, None)
    case.node.answer = [{"pubkey": case.public_key.hex(), "sig": sig}]
    assert refusal(case) == ("refused", SIGNBLOCK_UNEXPECTED)


# --- Ocean


def test_recorded_ocean_script_sigs_are_read() -> None:
    keys = next(row for row in ocean_rows("blocks_2of3.jsonl") if row.get("kind") == "keys")["pubkeys"]
    checked = 0
    for row in ocean_rows("blocks_2of3.jsonl"):
        if row.get("method") != "signblock" or row["response"]["result"] is None:
            continue
        block, answer = bytes.fromhex(row["params"][0]), row["response"]["result"]
        signed = []
        for key in keys:
            signer = WalletSigner(Node(answer), bytes.fromhex(key))
            try:
                signed.append(signer.sign_block(ocean_digest(block), block).hex())
            except SignerError as error:
                assert error.kind == "refused"  # noqa: PT017 - two of the three keys did not sign
        assert signed == [answer[4:]]
        checked += 1
    assert checked > 20


def test_recorded_ocean_wallet_with_two_keys_gives_ours() -> None:
    keys = next(row for row in ocean_rows("blocks_2of3.jsonl") if row.get("kind") == "keys")["pubkeys"]
    row = next(r for r in ocean_rows("misc_errors.jsonl") if "two of three" in r.get("note", ""))
    block, answer = bytes.fromhex(row["params"][0]), row["response"]["result"]
    node = Node(answer)
    signatures = set()
    for key in keys:
        try:
            signatures.add(WalletSigner(node, bytes.fromhex(key)).sign_block(ocean_digest(block), block).hex())
        except SignerError as error:
            assert error.kind == "refused"  # noqa: PT017 - the key that the wallet lacks
    assert len(signatures) == 2
    assert all(signature in answer for signature in signatures)
    assert node.calls[0] == ("signblock", [block.hex()])


@pytest.mark.parametrize("note", ["locked wallet", "wallet has none of the signing keys"])
def test_recorded_ocean_answer_without_key_is_explained(note: str) -> None:
    row = next(row for row in ocean_rows("misc_errors.jsonl") if row.get("note") == note)
    kind, message = refusal(Case(LEGACY, row["response"]["result"]))
    assert (kind, message) == ("misconfigured", NO_KEY)


# --- refusals of the node

EXPLAINED = [
    (
        NodeError(-4, "This type of wallet does not support this command"),
        "misconfigured",
        (
            "a descriptor wallet cannot sign blocks: use --key-file or an HSM,"
            " or a BDB wallet (node option -deprecatedrpc=create_bdb)"
        ),
    ),
    (NodeError(-4, "Wallet file is broken"), "misconfigured", "the wallet cannot sign"),
    (
        NodeError(-8, "Signing dynamic blocks requires the witnessScript argument"),
        "misconfigured",
        "the node does not accept the request",
    ),
    (
        NodeError(-13, "Error: Please enter the wallet passphrase with walletpassphrase first."),
        "unavailable",
        "the wallet is locked: unlock it with walletpassphrase",
    ),
    (
        NodeError(-18, "No wallet is loaded."),
        "misconfigured",
        "the node has no such wallet loaded: load it with loadwallet",
    ),
    (
        NodeError(-19, "Wallet file not specified"),
        "misconfigured",
        "the node has several wallets: name one in the RPC address (.../wallet/NAME)",
    ),
    (
        NodeError(-32601, "Method not found"),
        "misconfigured",
        "the node's wallet is disabled: start it without -disablewallet, or use a key file",
    ),
    (NodeError(-25, "Could not sign the block."), "misconfigured", NO_KEY),
    (
        NodeError(-25, "proposal was not based on our best chain"),
        "unavailable",
        "the block does not build on the node's tip",
    ),
    (NodeError(-25, "bad-txnmrklroot"), "refused", "the node refuses the block"),
    (NodeError(-22, "Block decode failed"), "refused", "the node cannot decode the block"),
    (NodeError(-28, "Verifying blocks"), "unavailable", "the node is still starting"),
]


@pytest.mark.parametrize(("error", "kind", "text"), EXPLAINED)
def test_errors_of_the_node_are_explained_and_quoted(error: NodeError, kind: str, text: str) -> None:
    quoted = f"(signblock: node error {error.code}: {error.message})"
    assert refusal(Case(LEGACY, error)) == (kind, f"{text} {quoted}")


UNEXPLAINED = [
    (NodeError(-342, "non-JSON HTTP response"), "signblock: node error -342: non-JSON HTTP response"),
    (ConnectionRefusedError(111, "refused"), "signblock: the node did not answer: [Errno 111] refused"),
    (OSError("two\nlines"), "signblock: the node did not answer: two lines"),
    (TimeoutError(), "signblock: the node did not answer: TimeoutError"),
]


@pytest.mark.parametrize(("error", "message"), UNEXPLAINED)
def test_a_node_out_of_reach_may_come_back(error: Exception, message: str) -> None:
    assert refusal(Case(LEGACY, error)) == ("unavailable", message)


def test_the_recorded_answer_without_wallet_is_explained() -> None:
    recorded = next(row for row in load("rpc_errors")["general"] if row["method"] == "signblock")["error"]
    kind, message = refusal(Case(LEGACY, NodeError(recorded["code"], recorded["message"])))
    assert kind == "misconfigured"
    assert message.startswith("the node has no such wallet loaded: load it with loadwallet (signblock: node error")


def test_a_closed_signer_asks_nothing() -> None:
    case = Case(LEGACY, entries(LEGACY))
    case.signer.close()
    case.signer.close()
    assert refusal(case) == ("unavailable", "the signer is closed")
    assert case.node.calls == []


# --- texts


def recoverable(secret: bytes, text: str) -> bytes:
    """What signmessage computes: recovery byte for a compressed key, then r and s."""
    flags = wally.EC_FLAG_ECDSA | wally.EC_FLAG_RECOVERABLE
    return bytes(wally.ec_sig_from_bytes(secret, bitcoin_message_digest(text), flags))


def sign_text(answer: object, text: str = "member 0", address: str | None = ADDRESS) -> tuple[bytes, Node]:
    case = Case(LEGACY, answer)
    node = Node(answer)
    return WalletSigner(node, case.public_key, address=address).sign_text(text), node


def test_a_text_is_signed_by_signmessage_and_returned_compact() -> None:
    case = Case(LEGACY, None)
    raw = recoverable(case.secret, "member 0")
    signature, node = sign_text(base64.b64encode(raw).decode())
    assert signature == raw[1:]
    assert node.calls == [("signmessage", [ADDRESS, "member 0"])]


def test_a_text_signature_with_high_s_is_made_low() -> None:
    case = Case(LEGACY, None)
    raw = recoverable(case.secret, "member 0")
    signature, _ = sign_text(base64.b64encode(raw[:33] + _negated(raw[33:])).decode())
    assert signature == raw[1:]


def test_a_text_signature_of_another_key_or_text_is_refused() -> None:
    case = Case(LEGACY, None)
    for raw in (recoverable(bytes(31) + b"\x01", "member 0"), recoverable(case.secret, "member 1")):
        with pytest.raises(SignerError, match=r"does not verify for key .* and this text") as caught:
            sign_text(base64.b64encode(raw).decode())
        assert caught.value.kind == "refused"


@pytest.mark.parametrize(
    "answer", [None, 5, "", "not base64!", "AAAA", base64.b64encode(b"\xff" * 65).decode(), "\u00e9" * 88]
)
def test_text_answers_that_are_no_signatures_are_refused(answer: object) -> None:
    with pytest.raises(
        SignerError, match=r"^the node answered signmessage with something that is not a signature$"
    ) as caught:
        sign_text(answer)
    assert caught.value.kind == "refused"


def test_a_text_needs_an_address() -> None:
    with pytest.raises(SignerError, match=r"^signing a text needs the P2PKH address of the key$") as caught:
        sign_text(None, address=None)
    assert caught.value.kind == "misconfigured"


def test_an_empty_text_is_not_sent() -> None:
    with pytest.raises(SignerError, match=r"^a message to sign has 1 to 65472 UTF-8 bytes$"):
        sign_text(None, text="")


def test_an_address_the_wallet_does_not_know_is_explained() -> None:
    with pytest.raises(SignerError) as caught:
        sign_text(NodeError(-5, "Private key not available"))
    assert caught.value.kind == "misconfigured"
    assert caught.value.message == (
        "the wallet does not hold the key of the configured address"
        " (signmessage: node error -5: Private key not available)"
    )


def test_the_wallet_gives_the_signature_the_software_key_would_accept() -> None:
    case = Case(LEGACY, entries(LEGACY)[:1])
    assert case.sign() == SoftwareSigner(case.secret).sign_block(case.digest, case.block).hex()
    assert repr(case.signer) == f"WalletSigner(public_key={case.public_key.hex()})"
