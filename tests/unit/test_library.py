"""The old project's classes: its arguments and names, on the new parts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wallycore as wally

import fedsm
from fedsm import AssetIssuance, BlockSigning, MultiSig, library
from fedsm.chains.script import ScriptError, parse_multisig
from fedsm.config import DaemonConfig, NodeAccess
from fedsm.errors import FedsmError
from fedsm.reissue.config import ReissueConfig
from signers.base import Signer
from signers.software import SoftwareSigner, encode_wif
from states.amounts import Inflation

NODES = ["127.0.0.1:1501", "127.0.0.1:1502", "127.0.0.1:1503"]
CONF = {
    "id": 1, "rpcuser": "alice", "rpcpassword": "hunter2", "rpcconnect": "10.0.0.1", "rpcport": "18443",
    "msgtype": "zmq", "nsigs": 2,
}  # fmt: skip


class NotingDaemon:
    """Takes note of its configuration; ``run`` ends as the test wants."""

    made: list[NotingDaemon]
    failure: FedsmError | None = None

    def __init__(self, config: DaemonConfig, _log: Any, *, signer: Signer | None = None) -> None:
        self.config, self.signer, self.stopped = config, signer, False
        self.made.append(self)

    def run(self) -> None:
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def daemons(monkeypatch: pytest.MonkeyPatch) -> type[NotingDaemon]:
    monkeypatch.setattr(NotingDaemon, "made", [], raising=False)
    monkeypatch.setattr(NotingDaemon, "failure", None)
    monkeypatch.setattr(library, "Daemon", NotingDaemon)
    return NotingDaemon


def test_the_package_offers_three_classes_and_its_version() -> None:
    assert set(fedsm.__all__) == {"AssetIssuance", "BlockSigning", "MultiSig", "__version__"}


def test_the_example_in_the_readme_runs(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^block 3 is [0-9a-f]{64}\nerrors: \[None, None, None\]$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", ["three_members", "asset_issuance"])
def test_the_examples_run(name: str) -> None:
    file = Path(__file__).parents[2] / "examples" / f"{name}.py"
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    ends = {"three_members": r"five blocks, the last one is [0-9a-f]{64}", "asset_issuance": r"[1-9]\d* payments"}
    assert re.search(rf"^{ends[name]}$", done.stdout, re.MULTILINE)


# MultiSig


def test_multisig_makes_a_key_for_each_node_and_the_script_that_sigs_of_them_must_sign() -> None:
    made = MultiSig(5, 3)
    assert (made.num_of_nodes, made.num_of_sigs, made.is_compressed, made.wif_prefix) == (5, 3, True, 239)
    script = parse_multisig(bytes.fromhex(made.script))
    assert (script.m, script.n) == (3, 5)
    assert list(script.public_keys) == made.public_keys == [SoftwareSigner(key).public_key for key in made.keys]
    assert [wally.wif_to_bytes(wif, 239, wally.WALLY_WIF_FLAG_COMPRESSED) for wif in made.wifs] == made.keys


def test_multisig_takes_the_old_arguments_by_name_and_place() -> None:
    made = MultiSig(nodes=2, sigs=1, compressed=True, wif_prefix=180)
    assert made.wifs == [encode_wif(key, 180) for key in made.keys]
    assert MultiSig(2, 1, True, 180).wif_prefix == 180


def test_keys_are_never_made_twice() -> None:
    assert len({key for _ in range(5) for key in MultiSig(3, 2).keys}) == 15


@pytest.mark.parametrize(("nodes", "sigs"), [(3, 4), (3, 0), (0, 0), (16, 1)])
def test_numbers_that_make_no_multisig_are_refused(nodes: int, sigs: int) -> None:
    with pytest.raises(ScriptError):
        MultiSig(nodes, sigs)


def test_uncompressed_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="compressed"):
        MultiSig(3, 2, compressed=False)


# BlockSigning


def test_the_old_conf_means_what_it_meant(daemons: type[NotingDaemon]) -> None:
    BlockSigning(CONF, NODES, 0, 0, "", "")
    assert daemons.made[0].config == DaemonConfig(
        member=1,
        nodes=",".join(NODES),
        node=NodeAccess("10.0.0.1", 18443, "alice", "hunter2"),
        threshold=2,
        http=None,
    )


def test_what_is_new_in_conf_reaches_the_daemon(daemons: type[NotingDaemon], tmp_path: Path) -> None:
    signer = SoftwareSigner(bytes([1]) * 32)
    conf = {"id": 0, "rpccookiefile": "c", "blocktime": 2, "keyfile": "k", "datadir": str(tmp_path)}
    BlockSigning(conf, NODES, signer=signer)
    assert daemons.made[0].signer is signer
    assert daemons.made[0].config == DaemonConfig(
        member=0,
        nodes=",".join(NODES),
        node=NodeAccess(cookie_file=Path("c")),
        interval_ms=2000,
        key_file=Path("k"),
        data_directory=tmp_path,
        http=None,
    )


@pytest.mark.parametrize(
    ("conf", "in_rate", "named"),
    [
        (CONF | {"msgtype": "smoke"}, 0, "smoke"),
        (CONF, 0.0101, "--reissuancescript"),
        (CONF, "much", "much"),
        (CONF | {"blocktime": 0}, 0, "between 0.05 s and a day"),
    ],
)
def test_what_is_not_there_is_refused_when_it_is_asked_for(
    daemons: type[NotingDaemon], conf: dict[str, Any], in_rate: float | str, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        BlockSigning(conf, NODES, in_rate, 60, "address", "script")
    assert daemons.made == []


@pytest.mark.parametrize("rate", [0.05, "0.05"])
def test_the_old_reissuance_arguments_make_the_schedule(daemons: type[NotingDaemon], rate: float | str) -> None:
    script = MultiSig(3, 2).script
    BlockSigning(CONF | {"blocktime": 30, "reissuanceprivkey": "key"}, NODES, rate, 1440, "address", script)
    multisig = parse_multisig(bytes.fromhex(script))
    assert daemons.made[0].config.reissue == ReissueConfig(
        Inflation("0.05", 1440, 30_000), "address", multisig, "key"
    )


def test_a_daemon_that_was_stopped_leaves_no_error(daemons: type[NotingDaemon]) -> None:
    thread = BlockSigning(CONF, NODES)
    assert not thread.stopped()
    thread.start()
    thread.stop()
    thread.join()
    assert thread.stopped()
    assert thread.error is None
    assert daemons.made[0].stopped


def test_a_daemon_that_cannot_go_on_leaves_its_error(daemons: type[NotingDaemon]) -> None:
    daemons.failure = FedsmError("--id 1 is wrong")
    thread = BlockSigning(CONF, NODES)
    thread.start()
    thread.join()
    assert thread.stopped()
    assert thread.error is daemons.failure


def test_a_thread_stopped_before_it_started_ends_at_once(tmp_path: Path) -> None:
    conf = {"id": 0, "rpccookiefile": tmp_path / "none", "rpcport": 1, "datadir": tmp_path}
    thread = BlockSigning(conf, NODES)
    thread.stop()
    thread.start()
    thread.join()
    assert thread.error is None


def test_a_thread_without_access_to_a_node_ends_with_the_line_that_says_so() -> None:
    thread = BlockSigning({"id": 0, "rpcuser": "alice"}, NODES)
    thread.start()
    thread.join()
    assert isinstance(thread.error, FedsmError)
    assert "--rpcpassword" in str(thread.error)


# AssetIssuance


def test_nothing_is_issued_by_a_node_that_is_not_there() -> None:
    with pytest.raises(FedsmError, match=r"no asset was issued: .*refused"):
        AssetIssuance({"rpcuser": "alice", "rpcpassword": "hunter2", "rpcport": 1}, 1)
