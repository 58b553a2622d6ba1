"""Measures of signing by HSM, on SoftHSM2; part of ``make bench``."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import PyKCS11
from PyKCS11 import LowLevel

from fedsm.demo.cast import HsmMember
from signers.pkcs11 import Pkcs11Signer
from signers.pkcs11_login import log_in
from tests.hsm import LABEL, PIN, Tokens

BATCHES, BATCH = 20, 50


@dataclass(frozen=True)
class Overhead:
    """Medians in microseconds: hash in to verified DER out, the bare C_Sign, and the C_SignInit it needs."""

    signer_us: float
    sign_us: float
    init_us: float


@contextmanager
def hsm_members(members: tuple[int, ...], secrets: list[bytes]) -> Iterator[dict[int, HsmMember]]:
    """A SoftHSM2 with a token for each of these members, which holds its key."""
    with tempfile.TemporaryDirectory(prefix="fedsm-bench-") as directory:
        tokens = Tokens(Path(directory))
        os.environ.update(tokens.environment)
        made = {}
        for member in members:
            tokens.add(f"member {member}")
            tokens.put_key(f"member {member}", secrets[member])
            uri = f"pkcs11:token=member%20{member};object={LABEL}?module-path={tokens.module}"
            made[member] = HsmMember(("--pkcs11-uri", uri), tokens.environment | {"FEDSM_PIN": PIN})
        yield made


@contextmanager
def one_cpu() -> Iterator[None]:
    """This process and those it starts stay on one CPU: waking another one is not what is to be measured."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def overhead() -> Overhead:
    """Sign by turns, batch by batch, through the signer and by bare calls on the same token, in the same run."""
    with one_cpu(), tempfile.TemporaryDirectory(prefix="fedsm-bench-") as directory:
        tokens = Tokens(Path(directory))
        os.environ.update(tokens.environment)
        tokens.add("t")
        tokens.make_key("t")
        with tokens.opened() as module, closing(Pkcs11Signer(tokens.place(), PIN)) as signer:
            session = log_in(module, module.find(tokens.place()), PIN)
            (key,) = session.findObjects([(PyKCS11.CKA_CLASS, PyKCS11.CKO_PRIVATE_KEY)])
            mechanism = PyKCS11.Mechanism(PyKCS11.CKM_ECDSA, None).to_native()
            digests = [number.to_bytes(32, "big") for number in range(BATCH)]
            through, bare, init = [], [], []
            for _ in range(BATCHES):
                for digest in digests:
                    data, room = PyKCS11.ckbytelist(digest), LowLevel.ckbytelist(64)
                    begun = time.perf_counter()
                    module.lib.lib.C_SignInit(session.session, mechanism, key)
                    ready = time.perf_counter()
                    module.lib.lib.C_Sign(session.session, data, room)
                    bare.append(time.perf_counter() - ready)
                    init.append(ready - begun)
                for digest in digests:
                    begun = time.perf_counter()
                    signer.sign_block(digest, b"")
                    through.append(time.perf_counter() - begun)
    return Overhead(*(statistics.median(times) * 1e6 for times in (through, bare, init)))
