"""The command line: `run_node.py COMMAND --help` teaches each command with an example."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from console import arguments, exit_codes, markets, operate, transfers, users
from console.arguments import DATA_DEFAULT, DataOption, JsonOption
from console.node import Ask, Outcome, ask
from console.output import show
from console.start import StartOptions, run_demo_here, start_and_run
from exchange.account.commands import Deposit, Withdraw
from exchange.instrument import MarketStatus

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="VonmoTrade: an open currency exchange. Start a node, then ask it things.",
    epilog="Exit codes: 0 done, 1 refused, 2 usage, 3 no node answers, 4 settings, 5 audit found "
    "something, 6 the node gave up.",
)
user_app = typer.Typer(no_args_is_help=True, help="Users: whoever owns an account.")
key_app = typer.Typer(no_args_is_help=True, help="API keys: how a user's programs sign in.")
asset_app = typer.Typer(no_args_is_help=True, help="Assets: what accounts hold.")
market_app = typer.Typer(no_args_is_help=True, help="Markets: one per traded pair.")
app.add_typer(user_app, name="user")
app.add_typer(key_app, name="key")
app.add_typer(asset_app, name="asset")
app.add_typer(market_app, name="market")

AccountArgument = Annotated[int, typer.Argument(min=1, help="The account's number.")]
SymbolArgument = Annotated[str, typer.Argument(help="The market, like BTCUSDT.")]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the journal.")]
ReferenceOption = Annotated[
    str, typer.Option(help="The same reference again within two minutes is not done twice.")
]


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    app()
    sys.exit(exit_codes.OK)


def _carry_out(data: Path, question: Ask, as_json: bool) -> NoReturn:
    raise typer.Exit(show(ask(data, question), as_json=as_json))


# ------------------------------------------------------------------ the node


@app.command(epilog="Example: run_node.py start --demo --data data")
def start(
    config: Annotated[
        Path | None, typer.Option(help="Settings (TOML); without one, the defaults.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data directory, instead of node.data_dir.", metavar="DIR")
    ] = None,
    demo: Annotated[bool, typer.Option(help="Add a market with traders that never sleep.")] = False,
    host: Annotated[str | None, typer.Option(help="Instead of gateway.host.")] = None,
    ws_port: Annotated[int | None, typer.Option(help="Instead of gateway.ws_port.")] = None,
    admin_port: Annotated[int | None, typer.Option(help="Instead of node.admin_port.")] = None,
    log_level: Annotated[str | None, typer.Option(help="Instead of logging.level.")] = None,
    log_format: Annotated[str | None, typer.Option(help="Instead of logging.format.")] = None,
) -> None:
    """Start a node and run it until Ctrl-C or SIGTERM.

    What it knows is in the data directory: started again, it goes on where it was.
    """
    options = StartOptions(config, data, demo, host, ws_port, admin_port, log_level, log_format)
    raise typer.Exit(start_and_run(options))


@app.command(epilog="Example: run_node.py demo --data data, beside a running node")
def demo(
    config: Annotated[Path | None, typer.Option(help="The node's settings.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The node's data directory.", metavar="DIR")
    ] = None,
    host: Annotated[str | None, typer.Option(help="The node's gateway.host.")] = None,
    ws_port: Annotated[int | None, typer.Option(help="The node's gateway.ws_port.")] = None,
    log_level: Annotated[str | None, typer.Option(help="Instead of logging.level.")] = None,
    log_format: Annotated[str | None, typer.Option(help="Instead of logging.format.")] = None,
    parent: Annotated[int, typer.Option(help="End when this parent is gone.", hidden=True)] = 0,
) -> None:
    """Trade in the demo market, as `start --demo` does, until Ctrl-C."""
    options = StartOptions(config, data, False, host, ws_port, None, log_level, log_format)
    raise typer.Exit(run_demo_here(options, parent))


@app.command(epilog="Example: run_node.py status --json")
def status(data: DataOption = DATA_DEFAULT, json: JsonOption = False) -> None:
    """Show the node's processes and what they last reported."""
    raise typer.Exit(show(operate.status(data), as_json=json))


@app.command(epilog="Example: run_node.py stop --data data")
def stop(data: DataOption = DATA_DEFAULT, json: JsonOption = False) -> None:
    """Stop a node in order, as Ctrl-C does: what was acknowledged is kept."""
    raise typer.Exit(show(operate.stop(data), as_json=json))


@app.command(epilog="Example: run_node.py audit && echo every cent is there")
def audit(data: DataOption = DATA_DEFAULT, json: JsonOption = False) -> None:
    """Recompute all money from the journals; exit code 5 if anything does not add up."""
    raise typer.Exit(show(operate.audit(data), as_json=json))


@app.command(epilog="Example: run_node.py snapshot")
def snapshot(data: DataOption = DATA_DEFAULT, json: JsonOption = False) -> None:
    """Have every shard write a snapshot now, so that the next start is quick."""
    _carry_out(data, operate.snapshot, json)


# ------------------------------------------------------------------ users, keys, money


@user_app.command("create", epilog="Example: run_node.py user create alice")
def user_create(
    name: Annotated[str, typer.Argument(help="Any name, once.")],
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Create a user and print the number of the account."""
    _carry_out(data, lambda node: users.create_user(node, name), json)


@key_app.command(
    "create",
    epilog="Example: run_node.py key create --user 1 --type hmac",
)
def key_create(
    user: Annotated[int, typer.Option("--user", min=1, help="The user's account number.")],
    kind: Annotated[
        users.KeyChoice, typer.Option("--type", help="hmac is simple; ed25519 trades faster.")
    ],
    public_key: Annotated[
        Path | None,
        typer.Option(help="Ed25519 public key (PEM or DER); without one a pair is made."),
    ] = None,
    permissions: Annotated[
        str, typer.Option(help="What it may do, of read,trade,stream.")
    ] = "read,trade,stream",
    address: Annotated[
        list[str] | None,
        typer.Option(help="Network it may be used from, like 10.0.0.0/8; repeat for more."),
    ] = None,
    label: Annotated[str, typer.Option(help="To know it by.")] = "",
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Create an API key. The secret is shown once, now, and kept nowhere in clear."""
    flags = arguments.permissions(permissions)
    networks = arguments.networks(address or ())
    if public_key is not None and kind is not users.KeyChoice.ED25519:
        raise typer.BadParameter("only with --type ed25519.", param_hint="--public-key")
    try:
        public = users.read_public_key(public_key) if public_key is not None else None
    except users.KeyFileError as error:
        problem = Outcome({"key_file": str(error)}, code=exit_codes.CONFIG)
        raise typer.Exit(show(problem, as_json=json)) from error
    _carry_out(
        data,
        lambda node: users.create_key(
            node,
            user,
            kind,
            public_key=public,
            permissions=flags,
            addresses=networks,
            label=label,
        ),
        json,
    )


@key_app.command("revoke", epilog="Example: run_node.py key revoke KEY_ID")
def key_revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as clients send it.")],
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Revoke an API key everywhere, at once and for ever."""
    _carry_out(data, lambda node: users.revoke_key(node, key_id), json)


@app.command(epilog="Example: run_node.py deposit 1 USDT 10000")
def deposit(
    account: AccountArgument,
    asset: str,
    amount: Annotated[str, typer.Argument(help="Decimal, at most 8 places.")],
    reference: ReferenceOption = "",
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Put money into an account."""
    minor = arguments.amount(amount, "AMOUNT")
    _carry_out(
        data,
        lambda node: transfers.transfer(node, Deposit, account, asset, minor, reference),
        json,
    )


@app.command(epilog="Example: run_node.py withdraw 1 BTC 0.5")
def withdraw(
    account: AccountArgument,
    asset: str,
    amount: Annotated[str, typer.Argument(help="Decimal, at most 8 places.")],
    reference: ReferenceOption = "",
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Take available money out of an account."""
    minor = arguments.amount(amount, "AMOUNT")
    _carry_out(
        data,
        lambda node: transfers.transfer(node, Withdraw, account, asset, minor, reference),
        json,
    )


# ------------------------------------------------------------------ assets, markets


@asset_app.command("add", epilog="Example: run_node.py asset add EUR --name Euro")
def asset_add(
    code: Annotated[str, typer.Argument(help="Upper case, like BTC.")],
    name: Annotated[str, typer.Option(help="For people.")] = "",
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Make an asset known, before markets use it."""
    _carry_out(data, lambda node: markets.add_asset(node, code, name), json)


@market_app.command(
    "add",
    epilog="Example: run_node.py market add BTCUSDT --base BTC --quote USDT --tick 0.01"
    " --lot 0.0001",
)
def market_add(
    symbol: Annotated[str, typer.Argument(help="The base and the quote asset in one word.")],
    base: Annotated[str, typer.Option(help="What is traded.")],
    quote: Annotated[str, typer.Option(help="What it is paid with.")],
    tick: Annotated[str, typer.Option(help="The smallest step of the price.")],
    lot: Annotated[str, typer.Option(help="The smallest step of the quantity.")],
    maker_fee: Annotated[str, typer.Option(help="Of a resting order: 0.001 or 0.1%.")] = "",
    taker_fee: Annotated[str, typer.Option(help="Of an order that takes: 0.001 or 0.1%.")] = "",
    price_min: Annotated[str, typer.Option(help="Lowest price of an order.")] = "",
    price_max: Annotated[str, typer.Option(help="Highest price of an order.")] = "",
    quantity_min: Annotated[str, typer.Option(help="Least quantity of an order.")] = "",
    quantity_max: Annotated[str, typer.Option(help="Greatest quantity of an order.")] = "",
    market_quantity_max: Annotated[str, typer.Option(help="The same for MARKET orders.")] = "",
    notional_min: Annotated[str, typer.Option(help="Least price times quantity.")] = "",
    notional_max: Annotated[str, typer.Option(help="Greatest price times quantity.")] = "",
    band_up: Annotated[str, typer.Option(help="Highest price, as a multiple of the last.")] = "",
    band_down: Annotated[str, typer.Option(help="Lowest price, as a part of the last.")] = "",
    protection: Annotated[
        str, typer.Option(help="How far beyond the best price MARKET orders trade: 5%.")
    ] = "",
    stp: Annotated[str, typer.Option(help="Self-trade prevention; so far: none.")] = "",
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Open a market. Tick and lot size are for ever; fees and limits are not."""
    instrument = arguments.instrument(
        symbol,
        base,
        quote,
        tick,
        lot,
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        price_min=price_min,
        price_max=price_max,
        quantity_min=quantity_min,
        quantity_max=quantity_max,
        market_quantity_max=market_quantity_max,
        notional_min=notional_min,
        notional_max=notional_max,
        band_up=band_up,
        band_down=band_down,
        protection=protection,
        stp=stp,
    )
    _carry_out(data, lambda node: markets.add_market(node, instrument), json)


@market_app.command("halt", epilog="Example: run_node.py market halt BTCUSDT --reason 'bad feed'")
def market_halt(
    symbol: SymbolArgument,
    reason: ReasonOption,
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Stop a market: neither orders nor cancels; the book stays as it is."""
    _set_status(symbol, MarketStatus.HALT, reason, data, json)


@market_app.command("resume", epilog="Example: run_node.py market resume BTCUSDT --reason fixed")
def market_resume(
    symbol: SymbolArgument,
    reason: ReasonOption,
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Let a market trade again."""
    _set_status(symbol, MarketStatus.TRADING, reason, data, json)


@market_app.command(
    "cancel-only", epilog="Example: run_node.py market cancel-only BTCUSDT --reason delisting"
)
def market_cancel_only(
    symbol: SymbolArgument,
    reason: ReasonOption,
    data: DataOption = DATA_DEFAULT,
    json: JsonOption = False,
) -> None:
    """Take cancels and nothing else."""
    _set_status(symbol, MarketStatus.CANCEL_ONLY, reason, data, json)


@market_app.command("list", epilog="Example: run_node.py market list --json")
def market_list(data: DataOption = DATA_DEFAULT, json: JsonOption = False) -> None:
    """List the markets with their sizes, fees and status."""
    _carry_out(data, markets.list_markets, json)


def _set_status(
    symbol: str, status: MarketStatus, reason: str, data: Path, as_json: bool
) -> NoReturn:
    _carry_out(data, lambda node: markets.set_status(node, symbol, status, reason), as_json)
