"""Writer of JUnit XML, for runs and for verifications."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from raft_testbed.checker.verdict import Verdict
from raft_testbed.verdict.judge import RunFinding


@dataclass(frozen=True, slots=True)
class Case:
    """One test case: a property of a run, or a check of a verification."""

    name: str
    classname: str
    verdict: Verdict | None
    """A violation becomes a failure, unknown an error; None: the case was skipped."""
    message: str
    details: Sequence[str] = ()
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """A named group of cases."""

    name: str
    cases: Sequence[Case]
    seconds: float | None = None
    """Duration; None: the sum of the cases' durations."""
    properties: Mapping[str, str] = field(default_factory=dict)


def render(suites: Iterable[Suite], name: str | None = None) -> bytes:
    """Return the suites as JUnit XML."""
    document = JUnitXml(name)
    for suite in suites:
        element = TestSuite(suite.name)
        for key, value in suite.properties.items():
            element.add_property(key, value)
        for case in suite.cases:
            element.add_testcase(_test_case(case))
        if suite.seconds is not None:
            element.time = suite.seconds
        document.add_testsuite(element)
    document.update_statistics()  # type: ignore[no-untyped-call]
    return bytes(document.tostring())  # type: ignore[no-untyped-call]


def run_suite(finding: RunFinding) -> Suite:
    """Return a suite with a case for each property of a run."""
    cases = [Case(item.name, "raft.run", item.verdict, item.summary, item.details) for item in finding.findings]
    properties = {
        "mutant": "; ".join(f"{mutant}: {description}" for mutant, description in finding.run.mutants.items())
    }
    return Suite(
        f"raft run {finding.run.name}",
        cases,
        finding.run.ended - finding.run.started,
        properties if finding.run.mutants else {},
    )


def _test_case(case: Case) -> TestCase:
    element = TestCase(case.name, classname=case.classname, time=case.seconds)
    if case.verdict is None:
        element.result = [Skipped(case.message)]
    elif case.verdict is Verdict.OK:
        element.system_out = "\n".join([case.message, *case.details])
    else:
        kind = Failure if case.verdict is Verdict.VIOLATION else Error
        result = kind(case.message, str(case.verdict))
        result.text = "\n".join(case.details)
        element.result = [result]
    return element
