"""Commands of iptables and tc, and the counters in their output."""

CHAIN = "RAFT-FAULT"


def chain_commands(rules: list[str]) -> list[str]:
    """Return commands that send a network namespace's outbound traffic through rules. The last one activates them."""
    added = [f"iptables -w -A {CHAIN} {rule}" for rule in rules]
    return [f"iptables -w -N {CHAIN}", *added, f"iptables -w -I OUTPUT -j {CHAIN}"]


def removal_commands() -> list[str]:
    """Return commands that remove the chain and any queueing discipline; none of them fails."""
    return [
        f"iptables -w -D OUTPUT -j {CHAIN} 2> /dev/null || true",
        f"iptables -w -F {CHAIN} 2> /dev/null || true",
        f"iptables -w -X {CHAIN} 2> /dev/null || true",
        "tc qdisc del dev eth0 root 2> /dev/null || true",
    ]


def chain_packets(listing: str) -> int:
    """Return how many packets the rules of a chain dropped or rejected, from `iptables -L CHAIN -v -x -n`."""
    rows = [line.split() for line in listing.splitlines()]
    return sum(int(row[0]) for row in rows if len(row) > 2 and row[0].isdecimal() and {"DROP", "REJECT"} & set(row))


def netem_packets(listing: str) -> int:
    """Return how many packets passed a queueing discipline, from `tc -s qdisc`."""
    words = listing.split()
    return int(words[words.index("pkt") - 1]) if "pkt" in words else 0
