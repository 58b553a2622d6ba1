"""Members that sign by a real token (SoftHSM2), in a federation with others that do not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedsm.demo.cast import HsmMember
from tests.hsm import LABEL, PIN, Shim, Tokens
from tests.integration.federation import LIMIT_S, Federation, wait_until
from tests.integration.test_secrets import content, holders

Make = Callable[..., Federation]
SLOW, REMOVED = 1, 3


@pytest.mark.one_chain
def test_two_of_five_members_sign_by_hsm_through_slowness_removal_and_return(
    federation: Make, tokens: Tokens, shim: Shim
) -> None:
    tokens.add("slow")
    serial = tokens.add("removed")
    old_way = {"PKCS11_LIB": tokens.module, "USER_PIN": PIN, "KEY_LABEL": LABEL}
    uri = f"pkcs11:token=slow;object={LABEL}?module-path={shim.module}"
    fed = federation(
        interval_s=0.5,
        hsms={
            SLOW: HsmMember(("--pkcs11-uri", uri), tokens.environment | shim.environment | {"FEDSM_PIN": PIN}),
            REMOVED: HsmMember(("--hsm", "1", "--pkcs11-serial", serial), tokens.environment | old_way),
        },
    )
    tokens.put_key("slow", fed.secrets[SLOW])
    tokens.put_key("removed", fed.secrets[REMOVED])
    others = [0, 2, 4]
    with fed:
        fed.cast.start()
        fed.wait_height(4)
        assert shim.calls("C_Login") == 1
        signed = shim.calls("C_Sign")
        assert 1 <= signed - 1 <= fed.height(SLOW) + 1, "one identity certificate, one signature a block"

        with tokens.pulled_out(serial):
            fed.wait_event(REMOVED, "hsm_lost")
            fed.wait_more(3, others)
            assert fed.cast.daemons[REMOVED].running
        fed.wait_event(REMOVED, "hsm_back")

        # While its token takes 3 s for each signature, the member keeps its turn as proposer.
        shim.tell("sign-delay-ms=3000")
        calls, height = shim.calls("C_Sign"), fed.height(SLOW)
        wait_until(lambda: shim.calls("C_Sign") > calls, LIMIT_S, lambda: "nothing is signed")

        def has_proposed() -> bool:
            return any(
                line["height"] > height + 1
                and fed.quorum.proposer(line["height"], 0) == SLOW
                and line["round"] == 0
                for line in fed.cast.lines(others[0], "block_accepted")
            )

        assert fed.cast.wait_for(has_proposed, LIMIT_S)
        shim.tell()
        calls = shim.calls("C_Sign")
        wait_until(lambda: shim.calls("C_Sign") > calls + 1, LIMIT_S, lambda: "it signs no more")
        assert shim.calls("C_Login") == 1
        fed.check_chain()
    for file in holders(fed.directory):
        assert PIN.encode() not in content(file), file


def refusal(fed: Federation, member: int, *options: str, **environment: str) -> tuple[int, str]:
    """How a daemon ends that cannot start: its status and last line."""
    node = fed.nodes.addresses[member]
    command = [
        sys.executable, "-m", "fedsm", "--id", str(member), "--nodes", fed.cast.addresses,
        "--rpcport", str(node.port), "--rpccookiefile", str(node.cookie_file), "--http", "off",
        "--datadir", str(fed.directory / "elsewhere"), *options,
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("fedsm: ")
    return result.returncode, last


def test_a_daemon_whose_hsm_cannot_serve_says_what_was_looked_for_and_found(
    tmp_path: Path, tokens: Tokens, shim: Shim
) -> None:
    tokens.add("t")
    tokens.make_key("t", "stranger", CKA_ID=b"\2")
    fed = Federation(tmp_path, "devnet", members=3, threshold=2)
    tokens.put_key("t", fed.secrets[2])
    module = ("--pkcs11-module", shim.module, "--pkcs11-token", "t")
    environment = tokens.environment | shim.environment
    with fed:
        status, line = refusal(fed, 0, *module, "--pkcs11-key", LABEL, **environment, FEDSM_PIN="wrong-pin")
        assert status == 3, "a status of its own: nothing must start it again"
        assert "the PIN is wrong" in line
        assert "wrong-pin" not in line
        assert shim.calls("C_Login") == 1

        environment["FEDSM_PIN"] = PIN
        for options, said in (
            (("--pkcs11-key", LABEL), "use --id 2"),
            (("--pkcs11-key", "stranger"), "is not in the block-signing script"),
            (("--pkcs11-key", "nothing"), 'no private key with label "nothing" on token "t"'),
            (("--pkcs11-token", "none"), 'no token with label "none"'),
            (("--pkcs11-module", "/none.so"), "/none.so cannot be loaded"),
        ):
            status, line = refusal(fed, 0, *module, *options, **environment)
            assert status == 1
            assert said in line
