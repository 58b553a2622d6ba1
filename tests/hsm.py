"""Real tokens for tests: SoftHSM2 in a directory of the test's own, and a module that misbehaves on demand."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PyKCS11
import pytest

from signers.pkcs11_login import log_in
from signers.pkcs11_module import Module
from signers.pkcs11_place import KeyPlace
from signers.pkcs11_point import SECP256K1_OID
from signers.software import SoftwareSigner

PIN = "1234-pin"
SO_PIN = "so-5678"
LABEL = "block"
P256_OID = bytes.fromhex("06082a8648ce3d030107")
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
_SHIM_SOURCE = Path(__file__).with_name("hsm_shim.c")


def find_softhsm() -> str | None:
    """The SoftHSM2 module of this machine."""
    return next((path for path in _MODULES if Path(path).exists()), None)


def need_softhsm() -> str:
    """The module, or a visible skip."""
    module = find_softhsm()
    if module is None:
        pytest.skip("no SoftHSM2: install the package softhsm2")
    return module


class Tokens:
    """A SoftHSM2 of its own. ``environment`` must be that of every process that uses it."""

    def __init__(self, directory: Path) -> None:
        self.module = need_softhsm()
        self.directory = directory / "tokens"
        self.directory.mkdir(parents=True)
        configuration = directory / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {self.directory}\nlog.level = ERROR\n", encoding="ascii")
        self.environment = {"SOFTHSM2_CONF": str(configuration)}

    def add(self, label: str) -> str:
        """Make a token; returns its serial."""
        before = set(self.directory.iterdir())
        with self.opened() as module:
            slot = next(token.slot for token in module.tokens() if not token.has(PyKCS11.CKF_TOKEN_INITIALIZED))
            module.lib.initToken(slot, SO_PIN, label)
            session = module.lib.openSession(slot, PyKCS11.CKF_RW_SESSION)
            session.login(SO_PIN, PyKCS11.CKU_SO)
            session.initPin(PIN)
        (made,) = set(self.directory.iterdir()) - before
        return made.name.replace("-", "")[-16:]

    def make_key(self, token: str, label: str = LABEL, *, curve: bytes = SECP256K1_OID, **private: Any) -> None:
        """Make a key pair on a token, sealed unless CKA_ attributes of the private key say otherwise."""
        public = {
            "CKA_TOKEN": True,
            "CKA_EC_PARAMS": curve,
            "CKA_LABEL": label,
            "CKA_ID": private.get("CKA_ID", b"\1"),
        }
        with self._at_work(token) as session:
            session.generateKeyPair(
                _template(PyKCS11.CKO_PUBLIC_KEY, public),
                _template(PyKCS11.CKO_PRIVATE_KEY, _sealed(label) | private),
                PyKCS11.Mechanism(PyKCS11.CKM_EC_KEY_PAIR_GEN, None),
            )

    def put_key(self, token: str, secret: bytes, label: str = LABEL) -> None:
        """Put a key that is known, such as a demo member's, into a token."""
        point = b"\x04\x21" + SoftwareSigner(secret).public_key
        common = {"CKA_EC_PARAMS": SECP256K1_OID}
        with self._at_work(token) as session:
            session.createObject(
                _template(PyKCS11.CKO_PRIVATE_KEY, _sealed(label) | common | {"CKA_VALUE": secret})
            )
            public = {"CKA_TOKEN": True, "CKA_LABEL": label, "CKA_ID": b"\1", "CKA_EC_POINT": point}
            session.createObject(_template(PyKCS11.CKO_PUBLIC_KEY, public | common))

    def place(self, **changes: Any) -> KeyPlace:
        """Where the key of the token "t" is."""
        return KeyPlace(**({"module": self.module, "token": "t", "label": LABEL} | changes))

    @contextmanager
    def opened(self) -> Iterator[Module]:
        module = Module(self.module)
        try:
            yield module
        finally:
            module.close()

    @contextmanager
    def _at_work(self, label: str) -> Iterator[PyKCS11.Session]:
        with self.opened() as module:
            yield log_in(module, module.find(KeyPlace(module="", token=label)), PIN, write=True)

    @contextmanager
    def pulled_out(self, serial: str) -> Iterator[None]:
        """The token is away meanwhile."""
        (place,) = (path for path in self.directory.iterdir() if path.name.replace("-", "").endswith(serial))
        drawer = self.directory.with_name("drawer")
        place.rename(drawer)
        try:
            yield
        finally:
            drawer.rename(place)


class Shim:
    """A second module in front of SoftHSM2, which misbehaves as told. See hsm_shim.c for the words."""

    def __init__(self, directory: Path, library: Path) -> None:
        self.module = str(library)
        self._control = directory / "control"
        self._calls = directory / "calls"
        self.environment = {"HSM_SHIM": str(directory)}
        self.tell()

    def tell(self, *words: str) -> None:
        """Misbehave like this from now on; without words: behave."""
        self._control.with_suffix(".new").write_text("\n".join(words) + "\n", encoding="ascii")
        self._control.with_suffix(".new").rename(self._control)

    def calls(self, name: str) -> int:
        """How often C_Login or C_Sign was called, by all processes."""
        return self._calls.read_text(encoding="ascii").split().count(name) if self._calls.exists() else 0


def compile_shim(directory: Path) -> Path:
    """Build the shim; a visible skip without a C compiler."""
    module, compiler = need_softhsm(), shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the fault-injecting PKCS#11 module")
    library = directory / "hsm_shim.so"
    command = [compiler, "-Wall", "-Werror", "-shared", "-fPIC", f'-DREAL="{module}"', "-o", str(library)]
    subprocess.run([*command, str(_SHIM_SOURCE), "-ldl"], check=True)
    return library


def _sealed(label: str) -> dict[str, Any]:
    return {
        "CKA_TOKEN": True,
        "CKA_PRIVATE": True,
        "CKA_SENSITIVE": True,
        "CKA_EXTRACTABLE": False,
        "CKA_SIGN": True,
        "CKA_LABEL": label,
        "CKA_ID": b"\1",
    }


def _template(kind: int, attributes: dict[str, Any]) -> list[tuple[int, Any]]:
    return [
        (PyKCS11.CKA_CLASS, kind),
        (PyKCS11.CKA_KEY_TYPE, PyKCS11.CKK_EC),
        *((getattr(PyKCS11, name), value) for name, value in attributes.items()),
    ]
