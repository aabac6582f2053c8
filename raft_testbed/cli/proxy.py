"""`raftctl proxy`: a relay between nodes that injects network faults."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from raft_pkg.cli.options import Json
from raft_pkg.cli.output import print_json, print_line, print_table
from raft_pkg.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Any

app = typer.Typer(
    no_args_is_help=True,
    help="Relay messages between nodes, and drop, delay or duplicate them on demand.",
    rich_markup_mode=None,
)

Control = Annotated[
    str, typer.Option(envvar="RAFT_PROXY_CONTROL", metavar="HOST:PORT", help="Control address of the proxy.")
]
Share = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE")]


@app.command()
def serve(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address for nodes: their --peer-proxy.")],
    control: Control,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the random decisions. [random]", show_default=False)
    ] = None,
) -> None:
    """Relay messages between nodes until SIGTERM."""
    from raft_testbed.proxy.program import serve_proxy  # noqa: PLC0415

    asyncio.run(serve_proxy(listen, control, seed))


@app.command("set")
def set_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the rule; replaces a rule of the same name.")],
    links: Annotated[list[str], typer.Argument(metavar="FROM>TO…", help="Links between node ids; * is any node.")],
    *,
    control: Control,
    seconds: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Duration, after which the rule is removed.")
    ],
    drop: Share = 0.0,
    duplicate: Share = 0.0,
    delay_ms_min: Annotated[float, typer.Option(min=0, metavar="MS")] = 0.0,
    delay_ms_max: Annotated[float, typer.Option(min=0, metavar="MS")] = 0.0,
    bytes_per_second: Annotated[
        float, typer.Option(min=0, metavar="BYTES", help="Bandwidth of each link. [unlimited]")
    ] = 0.0,
    reset_every_ms: Annotated[
        float, typer.Option(min=0, metavar="MS", help="Mean interval at which streams are reset.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Set a rule that injects faults on links."""
    rule = {
        "links": [_parse_link(link) for link in links],
        "drop": drop,
        "duplicate": duplicate,
        "delay_ms_min": delay_ms_min,
        "delay_ms_max": max(delay_ms_min, delay_ms_max),
        "bytes_per_second": bytes_per_second,
        "reset_every_ms": reset_every_ms,
    }
    _print(_request(control, {"set": name, "rule": rule, "seconds": seconds}), as_json=as_json)


@app.command()
def clear(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the rule. [all rules]", show_default=False)
    ] = None,
    *,
    control: Control,
    as_json: Json = False,
) -> None:
    """Remove rules."""
    _print(_request(control, {"clear": name}), as_json=as_json)


@app.command()
def status(control: Control, as_json: Json = False) -> None:
    """Show the active rules, and the message counts of each link."""
    _print(_request(control, {"status": True}), as_json=as_json)


def _request(control: str, request: "dict[str, Any]") -> "dict[str, Any]":
    from raft_testbed.proxy.control import send_request  # noqa: PLC0415

    return send_request(control, request)


def _parse_link(text: str) -> list[str]:
    source, arrow, target = text.partition(">")
    if not arrow or not source or not target:
        raise ConfigurationError(f"{text!r} is not FROM>TO")
    return [source, target]


def _print(response: "dict[str, Any]", *, as_json: bool) -> None:
    if as_json:
        print_json(response)
        return
    for name, rule in response["rules"].items():
        print_line(f"{name}: {', '.join('>'.join(link) for link in rule['links'])}: {_describe(rule)}")
    columns = ("from", "to", "messages", "dropped", "duplicated", "delayed", "unreachable", "resets")
    print_table(columns, ([link.get(column, 0) for column in columns] for link in response["links"]))


def _describe(rule: "dict[str, Any]") -> str:
    members = [f"{name} {value:g}" for name, value in rule.items() if name not in ("links", "seconds") and value]
    return f"{', '.join(members)}; {rule['seconds']:g} s left"
