"""The ceremony's bad input: each refused with one line that names the card, key or number, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fedsm.ceremony.card import MemberCard, read_card
from fedsm.ceremony.member_directory import MemberDirectory
from fedsm.federation_file import load
from tests.unit.cli_runner import CommandLine

CHAIN = "mychain"


class Ceremony:
    """Members' directories below one, made by the command."""

    def __init__(self, command: CommandLine, path: Path) -> None:
        self.command = command
        self.path = path
        self.file = path / "federation.toml"

    def init(self, name: str, port: int, *more: str, chain: str = CHAIN) -> str:
        """Make a member; returns its card line."""
        result = self.command.invoke(
            "init", str(self.path / name), "--chain", chain, "--address", f"10.0.0.1:{port}", *more
        )
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    def assembling(self, cards: list[str], *more: str, m: int = 2) -> list[str]:
        return ["federation", "assemble", *cards, "-m", str(m), "--chain", CHAIN, "--out", str(self.file), *more]

    def join(self, name: str, *more: str) -> list[str]:
        return ["federation", "join", str(self.file), "--member", str(self.path / name), *more]

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.path.rglob("*")) if path.is_file()}


@pytest.fixture
def ceremony(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ceremony:
    return Ceremony(CommandLine(monkeypatch), tmp_path)


@pytest.fixture
def cards(ceremony: Ceremony) -> list[str]:
    return [ceremony.init(name, 1501 + i) for i, name in enumerate(("alice", "bob", "carol"))]


def test_a_directory_keeps_its_secrets_and_the_card_has_none(ceremony: Ceremony) -> None:
    line = ceremony.init("alice", 1501)
    directory = ceremony.path / "alice"
    modes = {path.name: path.stat().st_mode & 0o777 for path in [directory, *directory.iterdir()]}
    assert modes == {
        "alice": 0o700, "member.key": 0o600, "member.curve": 0o600, "fedsm.toml": 0o600, "card.toml": 0o644,
    }  # fmt: skip
    assert read_card(line) == read_card(str(directory / "card.toml")) == MemberDirectory(directory).card
    for secret in ("member.key", "member.curve"):
        assert (directory / secret).read_text().strip() not in line + (directory / "card.toml").read_text()


def test_init_may_be_repeated_and_never_overwrites_a_key_or_a_configuration(ceremony: Ceremony) -> None:
    first = ceremony.init("alice", 1501)
    configuration = ceremony.path / "alice" / "fedsm.toml"
    configuration.write_text(configuration.read_text() + "# mine\n")
    before = ceremony.files()
    assert ceremony.init("alice", 1501) == first
    assert ceremony.files() == before
    moved = read_card(ceremony.init("alice", 1999, "--name", "anna"))
    assert moved == msgspec.structs.replace(read_card(first), address="10.0.0.1:1999", name="anna")
    refused = ceremony.command.refusal(
        "init", str(ceremony.path / "alice"), "--chain", "other", "--address", "10.0.0.1:1501"
    )
    assert "mychain" in refused
    assert "other" in refused


def test_a_key_that_is_held_elsewhere_is_named_and_not_made(ceremony: Ceremony) -> None:
    theirs = read_card(ceremony.init("bob", 1502)).public_key
    assert read_card(ceremony.init("alice", 1501, "--public-key", theirs)).public_key == theirs
    assert not (ceremony.path / "alice" / "member.key").exists()
    assert "\nkey-file" not in "\n" + (ceremony.path / "alice" / "fedsm.toml").read_text()


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--address", "nowhere"), ("--chain", "my chain"), ("--name", "a,b"), ("--public-key", "02" + "ff" * 32)],
)
def test_init_refuses_a_word_that_cannot_be_and_writes_nothing(ceremony: Ceremony, flag: str, value: str) -> None:
    given = {"--chain": CHAIN, "--address": "10.0.0.1:1501", flag: value}
    words = [word for pair in given.items() for word in pair]
    line = ceremony.command.refusal("init", str(ceremony.path / "alice"), *words)
    assert line.startswith(flag.removeprefix("--").replace("-", "_"))
    assert ceremony.files() == {}


def test_a_directory_that_others_can_enter_is_refused(ceremony: Ceremony) -> None:
    (ceremony.path / "alice").mkdir(mode=0o755)
    line = ceremony.command.refusal(
        "init", str(ceremony.path / "alice"), "--chain", CHAIN, "--address", "10.0.0.1:1501"
    )
    assert "chmod 700" in line


def test_lines_and_files_make_one_federation_in_the_order_given(ceremony: Ceremony, cards: list[str]) -> None:
    given = [cards[2], str(ceremony.path / "alice" / "card.toml"), cards[1]]
    result = ceremony.command.invoke(*ceremony.assembling(given))
    assert result.exit_code == 0, result.output
    file = load(ceremony.file)
    assert [member.public_key for member in file.member] == [read_card(card).public_key for card in given]
    assert file.multisig.script.hex() in result.output
    assert file.spoken in result.output
    assert f"con_max_block_sig_size={file.multisig.worst_case_size(dynafed=True)}" in result.output
    assert ceremony.command.invoke(*ceremony.assembling(given)).exit_code == 0, "may be repeated"


def test_cards_that_do_not_belong_together_are_refused_by_name(ceremony: Ceremony, cards: list[str]) -> None:
    alien = ceremony.init("dave", 1504, chain="other")
    neighbour = ceremony.init("erin", 1501)
    twin = ceremony.init("frank", 1506, "--public-key", read_card(cards[1]).public_key)
    before = ceremony.files()
    for bad, named in (
        ([*cards, alien], "card 3 (dave) is for chain other, not mychain"),
        ([*cards, twin], "cards 1 (bob) and 3 (frank) have the same block-signing key"),
        ([*cards, cards[0]], "cards 0 (alice) and 3 (alice) have the same block-signing key"),
        ([*cards, neighbour], "cards 0 (alice) and 3 (erin) have the same address"),
    ):
        assert named in ceremony.command.refusal(*ceremony.assembling(bad))
    assert "4 of 3 keys" in ceremony.command.refusal(*ceremony.assembling(cards, m=4))
    assert "quorum is 1" in ceremony.command.refusal(*ceremony.assembling(cards, "--quorum", "1"))
    assert "--interval" in ceremony.command.refusal(*ceremony.assembling(cards, "--interval", "0"))
    assert "chain is not a block hash" in ceremony.command.refusal(*ceremony.assembling(cards, "--genesis", "ab"))
    assert ceremony.files() == before


@pytest.mark.parametrize("place", [15, 30, 60, 120])
def test_a_card_line_that_was_changed_on_its_way_is_noticed(
    ceremony: Ceremony, cards: list[str], place: int
) -> None:
    card = cards[0]
    changed = card[:place] + ("1" if card[place] != "1" else "2") + card[place + 1 :]
    assert "was changed on its way" in ceremony.command.refusal(*ceremony.assembling([changed, *cards[1:]]))
    assert "was cut" in ceremony.command.refusal(*ceremony.assembling([card[:place], *cards[1:]]))


def test_what_is_no_card_is_named(ceremony: Ceremony, cards: list[str]) -> None:
    missing, wrong = ceremony.path / "missing.card", ceremony.path / "wrong.card"
    assert str(missing) in ceremony.command.refusal(*ceremony.assembling([str(missing), *cards]))
    for text in ("hello", MemberCard(CHAIN, "x", "a:1", "02", "c").toml, 'chain = "x"\nsecret = "y"'):
        wrong.write_text(text)
        assert str(wrong) in ceremony.command.refusal(*ceremony.assembling([str(wrong), *cards]))


def test_joining_makes_the_directory_ready_and_may_be_repeated(ceremony: Ceremony, cards: list[str]) -> None:
    ceremony.command.invoke(*ceremony.assembling(cards))
    file = load(ceremony.file)
    result = ceremony.command.invoke(*ceremony.join("bob", "--digest", file.spoken.upper()))
    assert result.exit_code == 0, result.output
    assert "member 1 of a 2-of-3 federation" in result.output
    config = ceremony.command.config("--config", str(ceremony.path / "bob" / "fedsm.toml"))
    assert (config.member, config.federation, config.nodes) == (1, file, file.nodes)
    assert config.key_file == ceremony.path / "bob" / "member.key"
    before = ceremony.files()
    assert ceremony.command.invoke(*ceremony.join("bob")).exit_code == 0
    assert ceremony.files() == before


def test_joining_refuses_what_does_not_fit_and_changes_nothing(ceremony: Ceremony, cards: list[str]) -> None:
    ceremony.init("mallory", 1666)
    ceremony.command.invoke(*ceremony.assembling(cards))
    text = ceremony.file.read_text()
    before = ceremony.files()
    assert "is not in the federation file" in ceremony.command.refusal(*ceremony.join("mallory"))
    other = "0" * 24 if load(ceremony.file).digest[0] != "0" else "1" * 24
    for digest in (other, load(ceremony.file).digest[:8], ""):
        assert "digest" in ceremony.command.refusal(*ceremony.join("alice", "--digest", digest))
    assert "run fedsm init" in ceremony.command.refusal(*ceremony.join("nobody"))
    ceremony.file.write_text(text.replace("10.0.0.1:1501", "10.0.0.66:1501"))
    assert "10.0.0.66:1501" in ceremony.command.refusal(*ceremony.join("alice"))
    ceremony.file.write_text(text.replace('name = "mychain"', 'name = "otherchain"'))
    assert "it was changed" in ceremony.command.refusal(*ceremony.join("alice"))
    ceremony.file.write_text(text)
    assert ceremony.files() == before


def test_a_second_federation_does_not_take_the_place_of_the_first(ceremony: Ceremony, cards: list[str]) -> None:
    ceremony.command.invoke(*ceremony.assembling(cards))
    ceremony.command.invoke(*ceremony.join("alice"))
    assert "not overwritten" in ceremony.command.refusal(*ceremony.assembling(cards, m=3))
    ceremony.file.unlink()
    ceremony.command.invoke(*ceremony.assembling(cards, m=3))
    before = ceremony.files()
    assert "not overwritten" in ceremony.command.refusal(*ceremony.join("alice"))
    assert ceremony.files() == before
