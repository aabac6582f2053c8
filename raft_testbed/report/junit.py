"""The verdicts on a run as JUnit XML: a test case for each promise."""

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from raft_testbed.checker.verdict import Verdict
from raft_testbed.verdict.judge import RunVerdict


def render(verdict: RunVerdict) -> bytes:
    """A violation is a failure, what is not known an error, what was not to be judged is skipped."""
    suite = TestSuite(f"raft run {verdict.run.name}")
    for mutant, breaks in verdict.run.mutants.items():
        suite.add_property("mutant", f"{mutant}: {breaks}")
    for finding in verdict.findings:
        case = TestCase(finding.name, classname="raft.run")
        text = "\n".join(finding.details)
        if finding.verdict is None:
            case.result = [Skipped(finding.summary)]
        elif finding.verdict is not Verdict.OK:
            kind = Failure if finding.verdict is Verdict.VIOLATION else Error
            result = kind(finding.summary, str(finding.verdict))
            result.text = text
            case.result = [result]
        else:
            case.system_out = "\n".join([finding.summary, *finding.details])
        suite.add_testcase(case)
    suite.time = verdict.run.ended - verdict.run.started
    xml = JUnitXml()
    xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]
    return bytes(xml.tostring())  # type: ignore[no-untyped-call]
