"""The values behind the configuration: addresses, places, intervals, and how the node is reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedsm.access import open_rpc
from fedsm.config import DaemonConfig, NodeAccess, guard_path, state_directory
from fedsm.errors import FedsmError
from fedsm.federation_file import load
from fedsm.pace import interval_of, timeouts_for
from signers.software import SoftwareSigner

GENESIS = "0123456789abcdef" * 4
KEY = bytes([2]) + bytes(range(32))


def test_the_rpc_url_has_no_credentials_and_brackets_where_they_belong() -> None:
    assert NodeAccess("node", 7041, "alice", "hunter2").url == "http://node:7041"
    assert NodeAccess("::1", 18443).url == "http://[::1]:18443"


def test_a_password_is_not_part_of_what_is_printed() -> None:
    access = NodeAccess(user="alice", password="hunter2")
    assert "hunter2" not in repr(DaemonConfig(0, "a:1", access))


def test_state_is_kept_apart_by_chain_and_key() -> None:
    directory = state_directory(Path("/data"), GENESIS, KEY)
    assert directory == Path("/data/0123456789abcdef/0200010203040506")
    assert guard_path(Path("/data"), GENESIS, KEY) == directory / "guard.sqlite"
    assert state_directory(Path("~/.fedsm"), GENESIS, KEY).is_absolute()


@pytest.mark.parametrize(("seconds", "interval_ms"), [(0.05, 50), (1, 1000), (2.5, 2500), (86_400, 86_400_000)])
def test_an_interval_is_given_in_seconds_and_kept_in_milliseconds(seconds: float, interval_ms: int) -> None:
    assert interval_of(seconds) == interval_ms


@pytest.mark.parametrize("seconds", [0, -1, 0.049, 86_401, float("nan"), float("inf"), float("-inf")])
def test_an_interval_out_of_range_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"between 0\.05 s and a day"):
        interval_of(seconds)


@pytest.mark.parametrize("interval_ms", [50, 1000, 60_000, 86_400_000])
def test_time_limits_follow_the_interval_within_bounds(interval_ms: int) -> None:
    limits = timeouts_for(interval_ms)
    assert 300 <= limits.propose_ms <= 10_000
    assert 150 <= limits.prevote_ms == limits.precommit_ms <= 5_000
    assert 200 <= limits.resend_ms <= 1_000
    assert limits.cap_ms == 60_000


def test_two_rounds_fit_in_an_interval_of_a_few_seconds_or_more() -> None:
    for interval_ms in (4_000, 10_000, 60_000):
        limits = timeouts_for(interval_ms)
        assert 2 * (limits.propose_ms + limits.prevote_ms + limits.precommit_ms) <= interval_ms


def test_a_node_is_reached_by_password_or_by_cookie() -> None:
    assert open_rpc(NodeAccess(user="alice", password="")).endpoint == "127.0.0.1:7041"
    assert open_rpc(NodeAccess("::1", 1, cookie_file=Path("c"), wallet="w")).endpoint == "::1:1"


@pytest.mark.parametrize(
    ("access", "named"),
    [
        (NodeAccess(), "--rpccookiefile"),
        (NodeAccess(user="alice"), "--rpcpassword"),
        (NodeAccess(password="hunter2"), "--rpcuser"),
        (NodeAccess(user="alice", password="hunter2", cookie_file=Path("c")), "exclude each other"),
        (NodeAccess(password="hunter2", cookie_file=Path("c")), "exclude each other"),
        (NodeAccess("", cookie_file=Path("c")), "--rpcconnect"),
        (NodeAccess("a/b", cookie_file=Path("c")), "--rpcconnect a/b"),
        (NodeAccess("user@node", cookie_file=Path("c")), "--rpcconnect user@node"),
        (NodeAccess("[::1]", cookie_file=Path("c")), "--rpcconnect"),
    ],
)
def test_access_that_cannot_work_is_refused_by_flag_and_without_the_password(
    access: NodeAccess, named: str
) -> None:
    with pytest.raises(FedsmError) as refused:
        open_rpc(access)
    assert named in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("identity", ["zz" * 32, "02" * 31, "AB" * 32])
def test_an_identity_in_a_federation_file_that_is_no_key_is_refused_by_member(
    tmp_path: Path, identity: str
) -> None:
    keys = [SoftwareSigner(bytes([i]) * 32).public_key.hex() for i in (1, 2)]
    members = [f'[[member]]\nid = {i}\npublic_key = "{key}"' for i, key in enumerate(keys)]
    members[1] += f'\nidentity = "{identity}"'
    path = tmp_path / "federation.toml"
    path.write_text(
        "\n".join([f'chain = "{GENESIS}"', "threshold = 1", "interval = 60", *members]), encoding="utf-8"
    )
    with pytest.raises(FedsmError, match="identity of member 1 is not an x-only key"):
        load(path)
