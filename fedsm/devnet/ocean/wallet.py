"""A node's wallet: keys, watched scripts and what the operator calls them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec
import wallycore as wally

from fedsm.devnet.script_types import P2PKH_PREFIX, multisig_parts, script_type

if TYPE_CHECKING:
    from pathlib import Path

WIF_PREFIX = 239
Ownership = Literal["none", "watched", "spendable"]


@dataclass(frozen=True)
class KeyPair:
    """A secret key and its compressed public key."""

    secret: bytes
    public: bytes

    @classmethod
    def of(cls, secret: bytes) -> KeyPair:
        """The pair of a secret key. ValueError if it is none."""
        return cls(secret, bytes(wally.ec_public_key_from_private_key(secret)))

    @property
    def hash(self) -> bytes:
        """Hash of the public key (20 bytes)."""
        return bytes(wally.hash160(self.public))

    @property
    def script(self) -> bytes:
        """The P2PKH script of the key."""
        return b"\x76\xa9\x14" + self.hash + b"\x88\xac"

    @property
    def address(self) -> str:
        """The P2PKH address of the key."""
        return str(wally.base58check_from_bytes(P2PKH_PREFIX + self.hash))


class Keys:
    """Secret keys and redeem scripts, to sign with."""

    def __init__(self) -> None:
        self._pairs: dict[bytes, KeyPair] = {}  # by hash of the public key
        self.redeem_scripts: dict[bytes, bytes] = {}  # by hash

    def add(self, secret: bytes) -> KeyPair:
        """Take in a secret key. ValueError if it is none."""
        pair = KeyPair.of(secret)
        return self._pairs.setdefault(pair.hash, pair)

    def add_redeem_script(self, script: bytes) -> None:
        """Take in the script behind a P2SH output."""
        self.redeem_scripts[bytes(wally.hash160(script))] = script

    def by_hash(self, key_hash: bytes) -> KeyPair | None:
        """The pair whose public key has this hash."""
        return self._pairs.get(key_hash)

    def by_public_key(self) -> dict[bytes, bytes]:
        """Secret keys by public key."""
        return {pair.public: pair.secret for pair in self._pairs.values()}


class Saved(msgspec.Struct):
    """What a wallet file holds."""

    keys: list[bytes] = []
    watched: list[bytes] = []
    labels: list[tuple[bytes, str]] = []
    blinding_key: bytes = b""
    passphrase: str = ""


class Wallet(Keys):
    """Keys, watched scripts, and labels by output script, kept in ``file`` if there is one.

    ``blinding_key`` stands behind the confidential forms of its addresses.
    """

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self._file = file
        saved = Saved()
        if file is not None and file.exists():
            saved = msgspec.json.decode(file.read_bytes(), type=Saved)
        for secret in saved.keys:
            self.add(secret)
        self.watched = set(saved.watched)
        self.labels = dict(saved.labels)
        self.blinding_key = saved.blinding_key or secrets.token_bytes(32)
        self.passphrase = saved.passphrase
        self._unlocked_until = 0.0

    def new_key(self, label: str = "") -> KeyPair:
        """A new key under a label."""
        return self.import_key(secrets.token_bytes(32), label)

    def import_key(self, secret: bytes, label: str) -> KeyPair:
        """Take in a key under a label. ValueError if it is none."""
        pair = self.add(secret)
        self.set_label(pair.script, label)
        return pair

    def watch(self, script: bytes, label: str) -> None:
        """Take in a script to watch under a label."""
        self.watched.add(script)
        self.set_label(script, label)

    def set_label(self, script: bytes, label: str) -> None:
        """Call the address of an output script so, and save the wallet."""
        self.labels[script] = label
        self._save()

    def lock_with(self, passphrase: str) -> None:
        """From now on the wallet is locked unless unlocked with the passphrase."""
        self.passphrase = passphrase
        self._save()

    def unlock(self, passphrase: str, until: float) -> bool:
        """Unlock the wallet until then (seconds since the epoch) if the passphrase is right, and tell that."""
        if passphrase != self.passphrase:
            return False
        self._unlocked_until = until
        return True

    def is_locked(self, now: float) -> bool:
        """Whether the wallet must not sign."""
        return bool(self.passphrase) and now >= self._unlocked_until

    def _save(self) -> None:
        if self._file is not None:
            held = list(self.by_public_key().values())
            self._file.parent.mkdir(parents=True, exist_ok=True)
            saved = Saved(held, sorted(self.watched), list(self.labels.items()), self.blinding_key, self.passphrase)
            self._file.touch(mode=0o600)
            self._file.write_bytes(msgspec.json.encode(saved))

    def owns(self, script: bytes) -> Ownership:
        """Whether an output script is the wallet's: spendable by it, watched, or neither."""
        if self._is_spendable(script):
            return "spendable"
        return "watched" if script in self.watched else "none"

    def blinding_public_key(self, script: bytes) -> bytes:
        """The public key in the confidential form of a script's address."""
        secret = bytes(wally.hmac_sha256(self.blinding_key, script))
        return bytes(wally.ec_public_key_from_private_key(secret))

    def _is_spendable(self, script: bytes) -> bool:
        kind = script_type(script)
        if kind == "true":
            return True
        if kind == "pubkeyhash":
            return self.by_hash(script[3:23]) is not None
        held = self.by_public_key()
        if kind == "pubkey":
            return script[1:-1] in held
        parts = multisig_parts(script)
        return parts is not None and all(key in held for key in parts[1])


def read_wif(text: str) -> bytes | None:
    """The secret key in wallet import format for this chain (compressed or not); None if it is none."""
    try:
        data = bytes(wally.base58check_to_bytes(text))
    except ValueError:
        return None
    compressed = len(data) == 34 and data[-1] == 1
    return data[1:33] if data[:1] == bytes([WIF_PREFIX]) and (compressed or len(data) == 33) else None
