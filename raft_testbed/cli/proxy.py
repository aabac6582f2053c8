"""`raftctl proxy`: a network between the nodes that fails on demand."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from raft_pkg.cli.options import Json
from raft_pkg.cli.output import print_json, print_line, print_table
from raft_pkg.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Any

app = typer.Typer(
    no_args_is_help=True, help="A relay between nodes that loses, delays and repeats messages.", rich_markup_mode=None
)

Control = Annotated[
    str, typer.Option(envvar="RAFT_PROXY_CONTROL", metavar="HOST:PORT", help="Where the proxy takes its orders.")
]
Share = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE")]


@app.command()
def serve(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where nodes connect: their --peer-proxy.")],
    control: Control,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of its chances. [random]", show_default=False)] = None,
) -> None:
    """Relay the messages of nodes until SIGTERM."""
    from raft_testbed.proxy.program import serve_proxy  # noqa: PLC0415

    asyncio.run(serve_proxy(listen, control, seed))


@app.command("set")
def set_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the rule; one that has it goes.")],
    links: Annotated[list[str], typer.Argument(metavar="FROM>TO…", help="Links, by identities; * is everybody.")],
    *,
    control: Control,
    seconds: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long it holds; then it ends by itself.")
    ],
    drop: Share = 0.0,
    duplicate: Share = 0.0,
    delay_ms_min: Annotated[float, typer.Option(min=0, metavar="MS")] = 0.0,
    delay_ms_max: Annotated[float, typer.Option(min=0, metavar="MS")] = 0.0,
    bytes_per_second: Annotated[float, typer.Option(min=0, metavar="BYTES", help="Of each link. [no limit]")] = 0.0,
    reset_every_ms: Annotated[float, typer.Option(min=0, metavar="MS", help="Break the streams about so often.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Make messages suffer on some links."""
    rule = {
        "links": [_parse_link(link) for link in links],
        "drop": drop,
        "duplicate": duplicate,
        "delay_ms_min": delay_ms_min,
        "delay_ms_max": max(delay_ms_min, delay_ms_max),
        "bytes_per_second": bytes_per_second,
        "reset_every_ms": reset_every_ms,
    }
    _print(_ask(control, {"set": name, "rule": rule, "seconds": seconds}), as_json=as_json)


@app.command()
def clear(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One rule. [all]", show_default=False)] = None,
    *,
    control: Control,
    as_json: Json = False,
) -> None:
    """Take rules back."""
    _print(_ask(control, {"clear": name}), as_json=as_json)


@app.command()
def status(control: Control, as_json: Json = False) -> None:
    """Show the rules that hold, and what became of messages on each link."""
    _print(_ask(control, {"status": True}), as_json=as_json)


def _ask(control: str, request: "dict[str, Any]") -> "dict[str, Any]":
    from raft_testbed.proxy.control import send_request  # noqa: PLC0415

    return send_request(control, request)


def _parse_link(text: str) -> list[str]:
    source, arrow, target = text.partition(">")
    if not arrow or not source or not target:
        raise ConfigurationError(f"{text!r} is not FROM>TO")
    return [source, target]


def _print(answer: "dict[str, Any]", *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    for name, rule in answer["rules"].items():
        print_line(f"{name}: {', '.join('>'.join(link) for link in rule['links'])}: {_describe(rule)}")
    columns = ("from", "to", "messages", "dropped", "duplicated", "delayed", "unreachable", "resets")
    print_table(columns, ([link.get(column, 0) for column in columns] for link in answer["links"]))


def _describe(rule: "dict[str, Any]") -> str:
    members = [f"{name} {value:g}" for name, value in rule.items() if name not in ("links", "seconds") and value]
    return f"{', '.join(members)}; for {rule['seconds']:g} s"
