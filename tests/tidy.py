"""Style as a check: `python -m tests.tidy` prints each line that breaks the house rules, and exits with 1.

It checks what no linter knows: the vocabulary (each home-made term has a standard one), and the length of files.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LINES_MAX = 600
"""A Python file that grows beyond this does more than one thing."""
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
UNCHECKED = re.compile(r"^(LICENSE|tests/tidy\.py)$|\.(png|svg|jsonl)$")


class Term(NamedTuple):
    """A term that is not used, and the standard one."""

    pattern: str
    standard: str
    where: str = ""
    """Regular expression for the paths in which the term is not used; empty: everywhere."""


CODE = r"^(raft_pkg|raft_testbed|systems|plugins)/"
CODE_AND_TESTS = r"^(raft_pkg|raft_testbed|systems|plugins)/|^tests/(?!mutants/caught\.json)"
"""All but `caught.json`, which quotes messages of earlier versions."""
TERMS = (
    # protocol
    Term(r"(?i)\bpieces?\b|_pieces?\b|\bpieces?_|[a-z]Pieces?\b", "chunk"),
    Term(
        r"\bHello\b|\b_?greet(s|ed)?\b|\bgreetings? (from|that)",
        "discovery, handshake",
        r"^(raft_pkg|raft_testbed|tests|docs)/",
    ),
    Term(r"(?i)acquaintance", "bootstrap peers"),
    Term(r"BEGINNING_TERM|beginning term|\bbeg(i|a|u)n(s|ning)? (a|the) cluster\b", "bootstrap term, bootstrap"),
    Term(r"\bblank\b(?! lines?\b)|_blank\b|\bis_blank", "uninitialized", r"^(raft_pkg|raft_testbed|tests|docs)/"),
    Term(r"\bheirs?\b", "successor, transfer target"),
    Term(r"(?i)strangers?\b|\bsomebody\b", "non-member"),
    Term(r"\b(former|previous|other|earlier|own) li(fe|ves)\b|\blife\b|_life\b", "incarnation"),
    Term(r"peer_gone|_gone\b|\bgone_|\bgone peer", "connection refused, unreachable"),
    Term(r"\bclass Output\b|\btake_output\b", "Ready"),
    Term(r"\bNotices?\b|\b_?notices?\b(?!d)|_notices?\b", "RaftEvent", CODE_AND_TESTS),
    Term(r"\b_?is_heard\b", "is_from_member"),
    Term(r"protects_leader|\boffice\b", "leader stickiness (in_lease), leadership"),
    Term(r"promise_seconds|[Pp]romises?_|_promises?\b", "vote, acknowledgement, guarantee, SLO", CODE_AND_TESTS),
    Term(r"\bquestions?\b", "ReadIndex request", r"^(raft_pkg|raft_testbed|tests)/"),
    Term(r"\bgoes by\b|\bgo by\b|\bgo_by", "effective configuration"),
    # server and client
    Term(r"\bGathering\b|\b_?gather_(until|seconds|bytes)\b|GATHER_", "Batcher, group commit"),
    Term(r"(?i)command_?rows?\b|\bfurther = \d|\brows? of (commands|requests|operations)", "CommandBatch, count"),
    Term(
        r"(?i)\b_?rows?\b(?<!in a row)|_rows?\b|\brows?_",
        "batch",
        r"^(raft_pkg/(?!cli/)|raft_testbed/(simulation|workload)/|tests/(paper|simulation|unit/(core|client|kv|rpc|server))/)",
    ),
    Term(
        r"\blast_turn|(?<!in)_turn\b|\bturn_(began|ended)|TURN_SECONDS|\b(a|each|every|one|this|that|the) turns?\b",
        "iteration of the event loop",
    ),
    Term(r"\bElsewhere\b|_elsewhere\b|\belsewhere=|\bat_once\(", "executor, inline", CODE_AND_TESTS),
    Term(
        r"TOLD_EVERY|_told\b|\btold_|_tell_|\btells?\b(?!.* (apart|from))|\btold\b",
        "publish, report, state",
        CODE_AND_TESTS,
    ),
    Term(r"(?i)\b_?settle[sd]?\b|_settled?\b|\bsettled?_", "complete", CODE_AND_TESTS),
    Term(r"\bmistake_in\b|\bmistake\b", "validate", CODE_AND_TESTS),
    Term(r"\b_?doubts?\b", "suspect", CODE_AND_TESTS),
    Term(r"(?i)\bsilence\b|silence_|_silence\b", "unresponsive"),
    Term(r"perhaps_done", "indeterminate"),
    Term(r"\bCallers?\b|_callers?\b|\bcallers?_|\bStreamCaller|UnaryCaller", "client stream, waiter"),
    Term(r"\b_?touched\b", "dirty", CODE_AND_TESTS),
    Term(r"\bkind_of\b", "request type", CODE_AND_TESTS),
    Term(r"\bchances?\b|_chance\b", "rng, seed", CODE_AND_TESTS),
    # simulator
    Term(
        r"\bSetting\b|\bconditions\b(?!\")|\bseldom\b|record_seldom",
        "SimulationContext, fault schedule, rare",
        r"^(raft_testbed|tests)/simulation/",
    ),
    Term(r"\b[Ww]orlds?\b|\b[Hh]osts?\b", "cluster, machine", r"^(raft_testbed/simulation|tests/simulation)/"),
    Term(r"\bcalm\b|calm_", "quiescent phase"),
    Term(r"\b(said|hears|heard|speaks|spoke)\b", "sent, receives, sends", r"^(raft_testbed|tests/simulation)/"),
    # testbed
    Term(r"(?i)\bundoings?\b", "revert"),
    Term(r"\bwiden\b", "expand_targets"),
    Term(
        r"\bwindow_lines|_windows\b|(?<!send )\b[Ww]indows?\b",
        "fault interval",
        r"^(raft_testbed/(verdict|report|nemesis)|roles|plugins|tests/(ansible|unit/(verdict|report|nemesis)))/",
    ),
    Term(r"\"meant\"|\bmeant=|\.saw\(", "evidence, expected"),
    Term(r"\bPlace\b", "Host, Executor", CODE_AND_TESTS),
    Term(r"\bwords\.py\b", "etcd_log_events.py"),
    Term(
        r"(testbed|deployment|cluster|system)_record\b|\brecords? of (the|a) (deployment|cluster|testbed)\b",
        "deployment state",
    ),
    Term(r"clients-cut", "client-partition"),
    Term(r"(?i)\bplanted?\b|\bplants\b|\bplanting\b|_planted?\b|\bplanted_", "mutant"),
    Term(r"own[_ -]word", "self-reported"),
    Term(r"judge_amount|judge_record\b", "throughput floor, log completeness"),
    # checker and report
    Term(r"minimal_core", "counterexample"),
    Term(
        r"\b_?seen\b(?! from)|_seen\b|\bseen_|[a-z]Seen\b",
        "observed values",
        r"^(raft_testbed/(checker|report|simulation|workload)|tests/unit/(checker|report))/|^raft_testbed/history\.py$",
    ),
    Term(r"\bJudgements?\b|\bRunVerdict\b|\bKeyReport\b|\bjudgements?\b", "Verdict, Finding"),
    Term(r"\bbands\b|bands_of|_bands\b", "role intervals"),
    Term(r"configurations_max", "search states"),
    # sentences
    Term(r"(\"\"\"|^\s*# |// )(Who|Whom|Whoever|Whose|Those (that|who|without))\b", "begin with the subject"),
    Term(r"\b(so many|as few as|as many as say|nobody was told|who is to)\b", "plain words", CODE_AND_TESTS),
)


def tracked() -> list[Path]:
    """Return the text files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    return [
        Path(name) for name in listed.split("\0") if name and not UNCHECKED.search(name) and not GENERATED.search(name)
    ]


def problems(path: Path) -> Iterator[str]:
    """Yield what is wrong with one file, as PATH:LINE: what."""
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, IsADirectoryError):
        return
    lines = text.splitlines()
    if path.suffix == ".py" and len(lines) > LINES_MAX:
        yield f"{path}: {len(lines)} lines, at most {LINES_MAX}"
    applicable = [term for term in TERMS if re.search(term.where, str(path))]
    present = [term for term in applicable if re.search(term.pattern, text, re.MULTILINE)]
    terms = [(re.compile(term.pattern), term.standard) for term in present]
    for number, line in enumerate(lines, start=1):
        for pattern, standard in terms:
            found = pattern.search(line)
            if found:
                yield f"{path}:{number}: {found.group(0).strip()!r}: write {standard}"


def main() -> int:
    """Check all tracked files."""
    found = [problem for path in tracked() for problem in problems(path)]
    print("\n".join(found) or "tidy: nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
