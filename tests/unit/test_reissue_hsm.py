"""A reissuance key in an HSM (SoftHSM2): how it is named, and that it is the one which signs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedsm.chains.script import Multisig
from fedsm.hsm import HsmAccess
from fedsm.reissue.config import ReissueConfig, configure_reissue
from fedsm.reissue.setup import reissue_signer
from fedsm.reissue.strategy import ReissueError
from signers.ecdsa import verify_der
from signers.pkcs11 import Pkcs11Signer
from signers.pkcs11_place import KeyPlace
from signers.software import SoftwareSigner
from states.amounts import Inflation
from tests.hsm import PIN, Tokens

SECRETS = [bytes([number]) * 32 for number in (1, 2, 3)]
SCRIPT = Multisig(2, tuple(SoftwareSigner(secret).public_key for secret in SECRETS))
CONFIG = ReissueConfig(Inflation("0.01", 60, 60_000), "address", SCRIPT)


def configured(uri: str) -> ReissueConfig:
    given: dict[str, Any] = {
        "inflationrate": "0.01",
        "inflationperiod": 60,
        "inflationaddress": "address",
        "reissuancescript": SCRIPT.script.hex(),
        "reissuanceprivkey": "",
        "on_reissue_failure": "continue",
    }
    return configure_reissue(given, {"pkcs11-uri": uri}, 60_000)


def test_the_uri_names_it_and_the_block_signing_keys_label_is_not_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = tmp_path / "pin"
    pin.write_text("77", encoding="ascii")
    pin.chmod(0o600)
    monkeypatch.setenv("KEY_LABEL", "block")
    monkeypatch.setenv("PKCS11_LIB", "/p11.so")
    hsm = configured(f"pkcs11:token=t;id=%07?pin-source={pin}").hsm
    assert hsm == HsmAccess(KeyPlace(module="/p11.so", token="t", key_id=b"\7"), "77")
    with pytest.raises(ReissueError, match=r"^\[reissuance\] pkcs11-uri: the attribute pin-value"):
        configured("pkcs11:token=t?pin-value=77")


def test_it_signs_if_it_is_in_the_script_and_is_refused_if_not(tokens: Tokens) -> None:
    tokens.add("t")
    tokens.put_key("t", SECRETS[1], "reissuance")
    config = replace(CONFIG, hsm=HsmAccess(tokens.place(label="reissuance"), PIN))
    signer = reissue_signer(config, SoftwareSigner(SECRETS[0]))
    digest = bytes(range(32))
    assert signer.public_key == SCRIPT.public_keys[1]
    assert verify_der(signer.public_key, digest, signer.sign_block(digest, b""))
    signer.close()

    with pytest.raises(ReissueError, match="is not in the reissuance script"):
        reissue_signer(replace(config, multisig=Multisig(1, SCRIPT.public_keys[2:])), None)
    with pytest.raises(ReissueError, match='no private key with label "other"'):
        reissue_signer(replace(config, hsm=HsmAccess(tokens.place(label="other"), PIN)), None)


def test_the_block_signing_key_in_an_hsm_serves_for_both(tokens: Tokens) -> None:
    tokens.add("t")
    tokens.put_key("t", SECRETS[2])
    block_signer = Pkcs11Signer(tokens.place(), PIN)
    assert reissue_signer(CONFIG, block_signer) is block_signer
    block_signer.close()
