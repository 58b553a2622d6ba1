"""The --nodes list and what is wrong with it."""

from __future__ import annotations

import pytest

from transports.base import TransportError
from transports.nodes import NodeAddress, parse_nodes


def test_entries_are_names_and_addresses_in_member_order() -> None:
    nodes = parse_nodes("node0:1503, 10.0.0.2:1502,[2001:DB8::1]:1501,my_node-3.example.com:1500", 0)
    assert [node.host for node in nodes] == ["node0", "10.0.0.2", "2001:db8::1", "my_node-3.example.com"]
    assert [node.endpoint for node in nodes] == [
        "tcp://node0:1503",
        "tcp://10.0.0.2:1502",
        "tcp://[2001:db8::1]:1501",
        "tcp://my_node-3.example.com:1500",
    ]


@pytest.mark.parametrize(
    ("entry", "endpoint"),
    [
        ("*:1500", "tcp://*:1500"),
        ("0.0.0.0:1500", "tcp://0.0.0.0:1500"),
        ("[::]:1500", "tcp://[::]:1500"),
        ("10.1.2.3:1500", "tcp://10.1.2.3:1500"),
        ("[::1]:1500", "tcp://[::1]:1500"),
        ("localhost:1500", "tcp://127.0.0.1:1500"),
        ("LOCALHOST:1500", "tcp://127.0.0.1:1500"),
        ("signing1.example.com:1500", "tcp://*:1500"),
    ],
)
def test_the_own_entry_is_bound_exactly_if_an_address_and_everywhere_if_a_name(entry: str, endpoint: str) -> None:
    assert parse_nodes(f"peer:1,{entry}", 1)[1].listening_endpoint == endpoint


@pytest.mark.parametrize(
    ("text", "own", "complaint"),
    [
        ("", 0, "--nodes is empty"),
        ("  ", 0, "--nodes is empty"),
        ("a:1,,b:2", 0, "entry 1 of --nodes is empty"),
        ("a:1,", 0, "entry 1 of --nodes is empty"),
        ("a:1,b", 0, "entry 1 of --nodes, 'b', is not host:port"),
        ("a:1,:5", 0, "entry 1 of --nodes, ':5', is not host:port"),
        ("a:1,b:", 0, "entry 1 of --nodes, 'b:', has no port between 1 and 65535"),
        ("a:1,b:0", 0, "entry 1 of --nodes, 'b:0', has no port between 1 and 65535"),
        ("a:65536", 0, "entry 0 of --nodes, 'a:65536', has no port between 1 and 65535"),
        ("a:-1", 0, "has no port between"),
        ("a:\u0661", 0, "has no port between"),
        ("a:1e3", 0, "has no port between"),
        ("a:123456789012345678901234567890", 0, "has no port between"),
        ("tcp://a:1", 0, "entry 0 of --nodes, 'tcp://a:1', is not host:port"),
        ("::1:1500", 0, "an IPv6 address goes in brackets"),
        ("[::zz]:1500", 0, "no IPv6 address in its brackets"),
        ("[a]:1500", 0, "no IPv6 address in its brackets"),
        ("256.1.1.1:1500", 0, "no valid host name or address"),
        ("10.0.0:1500", 0, "no valid host name or address"),
        ("a b:1500", 0, "no valid host name or address"),
        ("-a:1500", 0, "no valid host name or address"),
        ("a..b:1500", 0, "no valid host name or address"),
        ("a;b:1500", 0, "no valid host name or address"),
        ("a" * 64 + ":1500", 0, "no valid host name or address"),
        ("a:1,b:2,A:1", 0, "entries 0 and 2 of --nodes are both A:1"),
        ("[::1]:1,[0::1]:1", 0, "entries 0 and 1 of --nodes are both"),
        ("a:1,*:2", 0, "entry 1 of --nodes, *:2, is no address to connect to"),
        ("a:1,0.0.0.0:2", 0, "entry 1 of --nodes, 0.0.0.0:2, is no address to connect to"),
        ("a:1,[::]:2", 0, "entry 1 of --nodes"),
        ("a:1,b:2", 2, "entries 0 to 1, none for this member's id 2"),
        ("a:1,b:2", -1, "none for this member's id -1"),
        (",".join(f"n{i}:1" for i in range(21)), 0, "21 entries"),
    ],
)
def test_a_wrong_list_is_refused_in_one_line_that_names_the_entry(text: str, own: int, complaint: str) -> None:
    with pytest.raises(TransportError) as caught:
        parse_nodes(text, own)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_host_may_have_several_members_on_different_ports() -> None:
    assert parse_nodes("a:1,a:2", 1) == (NodeAddress("a", 1), NodeAddress("a", 2))
