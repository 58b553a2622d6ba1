"""fedsm run: one member's daemon (what fedsm does without a subcommand)."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import click
from click.core import ParameterSource

from fedsm.chains.base import ClockWindow, ProposedParameters
from fedsm.chains.script import parse_multisig
from fedsm.cli.hsm_options import hsm_access, hsm_options, hsm_settings
from fedsm.cli.http_options import http_of, http_options
from fedsm.cli.link_options import kafka_of, link_options, nodes_of, transports_of
from fedsm.cli.options import PROPOSED_PARAMETERS, config_option, node_access, node_options, option
from fedsm.cli.reissue_options import reissue_of, reissue_options
from fedsm.cli.trace_options import trace_options, trace_settings
from fedsm.config import DEFAULT_DATA_DIRECTORY, DEFAULT_INTERVAL_MS, DEFAULT_WINDOW, DaemonConfig
from fedsm.daemon import Daemon
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile, load
from fedsm.hsm import HsmAccess
from fedsm.log import LogFile, configure, get_logger
from fedsm.observe.status import Status
from fedsm.pace import interval_of
from fedsm.reloading import Reloader
from fedsm.service_manager import ServiceManager
from fedsm.watchdog import Watchdog

ARGUMENTS = "fedsm.arguments"


class Rereadable(click.Command):
    """Keeps its arguments, so that they, and the files that they name, can be read again."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note the arguments before they are used up."""
        ctx.meta[ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)


@click.command(cls=Rereadable)
@option("--id", "member", type=click.IntRange(0), required=True, help="Our member number, 0 to N-1.")
@link_options
@node_options
@option(
    "--chain",
    type=click.Choice(["auto", "elements", "ocean"]),
    default="auto",
    show_default=True,
    help="Kind of the node; auto: found out from it.",
)
@option(
    "--header-hashes",
    type=click.Choice(["node", "any"]),
    default="node",
    show_default=True,
    help="Ocean: whether contract, attestation and mapping hashes of proposals must be our node's.",
)
@option("--blocktime", type=float, help="Block interval in seconds.  [default: 60]")
@option("--key-file", type=click.Path(path_type=Path), help="Block-signing key (WIF or hex), mode 600.")
@option(
    "--datadir",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA_DIRECTORY,
    show_default=True,
    help="Where guard, identity and trace are kept.",
)
@option("--quorum", type=click.IntRange(1), help="Votes that decide a block, Q.  [default: max(M, N//2 + 1)]")
@option("--signblockscript", help="Multisig script (hex) of a P2WSH federation, if the chain does not tell it.")
@option(
    "--min-tx-age",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Leave transactions younger than this many seconds out of our proposals.",
)
@option(
    "--max-past",
    type=click.IntRange(1),
    default=DEFAULT_WINDOW.max_past_ms // 1000,
    show_default=True,
    help="Refuse proposals whose time is more than this many seconds behind our clock.",
)
@option(
    "--max-future",
    type=click.IntRange(1),
    default=DEFAULT_WINDOW.max_future_ms // 1000,
    show_default=True,
    help="Refuse proposals whose time is more than this many seconds ahead of our clock.",
)
@option(
    "--hsm",
    is_flag=False,
    flag_value="1",
    type=click.BOOL,
    help="Sign by HSM (0: do not).  [default: if --pkcs11-uri or --pkcs11-module is given]",
)
@hsm_options
@reissue_options
@http_options
@trace_options
@option(
    "--log-format",
    type=click.Choice(["auto", "console", "json"]),
    default="auto",
    show_default=True,
    help="Log lines to stderr; auto: console on a terminal, JSON otherwise.",
)
@option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least level that is logged.",
)
@option(
    "--log-file",
    type=click.Path(path_type=Path),
    help="Add log lines to this file instead; SIGHUP opens it anew, for rotation.",
)
@config_option
@click.pass_context
def run(ctx: click.Context, /, **given: Any) -> None:
    """Run a member's daemon next to its node, until SIGTERM or SIGINT.

    SIGHUP opens the log file anew and reads again what can change: log level and format, transaction age, limits of
    a proposal's time, and proposed parameters.
    """
    file = None if given["log_file"] is None else LogFile(given["log_file"])
    configure(given["log_format"], given["log_level"], file)
    _warn_of_secrets(ctx)
    daemon = Daemon(configuration(ctx, given))

    def read_again() -> None:
        if file is not None:
            file.reopen()
        with run.make_context(ctx.info_name, list(ctx.meta[ARGUMENTS]), parent=ctx.parent) as again:
            config = configuration(again, again.params)
            configure(again.params["log_format"], again.params["log_level"], file)
        daemon.reload(config)

    _supervise(daemon, Reloader(read_again, get_logger()))


def _supervise(daemon: Daemon, reloader: Reloader) -> None:
    """Run the daemon: what signals say reaches it, and the service manager hears of it."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        daemon.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, lambda *_: reloader.want())
    manager = ServiceManager()
    watchdog = Watchdog(daemon.since_pulse_ms, lambda: _in_a_line(daemon.station.status()), manager, get_logger())
    manager.ready()
    with reloader.working(), watchdog.watching():
        daemon.run()
    # Python puts the defaults back as it ends: another of these would then make a clean end look like a fault.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    manager.stopping()


def _in_a_line(status: Status) -> str:
    if status.phase == "waiting":
        return "; ".join(check.detail for check in status.checks)
    failed = ", ".join(check.name for check in status.checks if not check.ok)
    return f"height {status.height}, {'ready' if status.ready else f'not ready: {failed}'}"


def configuration(ctx: click.Context, given: dict[str, Any]) -> DaemonConfig:
    file = None if given["federation"] is None else load(given["federation"])
    nodes = nodes_of(given, file)
    transports = transports_of(given, nodes)
    interval_ms = interval_ms_of(given["blocktime"], file)
    return DaemonConfig(
        member=given["member"],
        nodes=nodes,
        node=node_access(given),
        interval_ms=interval_ms,
        data_directory=given["datadir"],
        key_file=given["key_file"],
        hsm=_hsm(given),
        vote_quorum=_quorum(given["quorum"], file),
        witness_script=_multisig_script(given["signblockscript"]),
        min_tx_age_s=given["min_tx_age"],
        window=ClockWindow(given["max_past"] * 1000, given["max_future"] * 1000),
        proposed=_proposed(ctx.meta.get(PROPOSED_PARAMETERS)),
        federation=file,
        transports=transports,
        curve_key_file=given["curve_key_file"],
        kafka=kafka_of(given) if "kafka" in transports else None,
        http=http_of(given),
        trace=trace_settings(given),
        chain=given["chain"],
        hash_policy=given["header_hashes"],
        reissue=reissue_of(ctx, given, interval_ms),
    )


def _hsm(given: dict[str, Any]) -> HsmAccess | None:
    """The HSM to sign by, if there is to be one: --hsm decides, and without it whether one is described."""
    wanted = given["hsm"] if given["hsm"] is not None else hsm_settings(given).are_given
    if not wanted:
        return None
    if given["key_file"] is not None:
        raise FedsmError("--key-file and an HSM exclude each other: give one or the other, or --hsm 0")
    return hsm_access(given)


def interval_ms_of(blocktime: float | None, file: FederationFile | None) -> int:
    """The block interval; one that contradicts the federation file is refused, for it must be everybody's."""
    if file is not None and blocktime not in (None, file.interval):
        raise FedsmError(f"--blocktime {blocktime:g} contradicts the federation file, which says {file.interval:g}")
    wanted = blocktime if blocktime is not None else (DEFAULT_INTERVAL_MS / 1000 if file is None else file.interval)
    try:
        return interval_of(wanted)
    except ValueError as error:
        raise FedsmError(f"--blocktime: {error}") from None


def _quorum(votes: int | None, file: FederationFile | None) -> int | None:
    """The vote quorum, if one is configured; it must be everybody's too."""
    if file is None:
        return votes
    if votes not in (None, file.quorum):
        raise FedsmError(f"--quorum {votes} contradicts the federation file")
    return file.quorum


def _multisig_script(text: str | None) -> bytes | None:
    try:
        return None if text is None else parse_multisig(bytes.fromhex(text)).script
    except ValueError as error:
        raise FedsmError(f"--signblockscript: {error}") from None


def _proposed(table: object) -> ProposedParameters | None:
    """The [proposed_parameters] of the configuration file: the one dynafed proposal we make and accept.

    It names the next federation by its multisig script: nodes accept a limit below what its signatures take,
    and such a chain stands still for ever.
    """
    if table is None:
        return None
    names = {"script", "max_block_witness", "fedpegscript", "extension_space"}
    if not isinstance(table, dict) or set(table) != names:
        raise FedsmError(f"[{PROPOSED_PARAMETERS}] must hold exactly {', '.join(sorted(names))}")
    try:
        script = parse_multisig(bytes.fromhex(table["script"]))
        parameters = ProposedParameters(
            signblockscript=script.p2wsh_program,
            max_block_witness=int(table["max_block_witness"]),
            fedpegscript=bytes.fromhex(table["fedpegscript"]),
            extension_space=tuple(bytes.fromhex(entry) for entry in table["extension_space"]),
        )
    except (TypeError, ValueError) as error:
        raise FedsmError(f"[{PROPOSED_PARAMETERS}]: {error}") from None
    needed = script.worst_case_size(dynafed=True)
    if parameters.max_block_witness < needed:
        raise FedsmError(
            f"[{PROPOSED_PARAMETERS}]: max_block_witness {parameters.max_block_witness} is too small, "
            f"signatures for this script can take {needed} bytes"
        )
    return parameters


def _warn_of_secrets(ctx: click.Context) -> None:
    """Everybody on the machine can read a command line."""
    safe_ways = {
        "rpcpassword": "use --rpccookiefile or the variable FEDSM_RPCPASSWORD",
        "kafka_password": "use the variable FEDSM_KAFKA_PASSWORD",
        "reissuanceprivkey": "use the variable FEDSM_REISSUANCEPRIVKEY",
    }
    for name, advice in safe_ways.items():
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            get_logger().warning("secret_on_command_line", option=f"--{name.replace('_', '-')}", detail=advice)

