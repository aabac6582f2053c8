"""Progress: the leader's knowledge of one follower, and what it may send."""

from raft_pkg.core.progress import Progress


def probing(next_index=10):
    return Progress(next_index=next_index, last_contact=0.0)


def replicating(match_index=9):
    progress = probing()
    progress.matched(match_index)
    return progress


def test_probe_is_sent_alone_and_does_not_change_next_index():
    progress = probing()
    assert progress.may_send(64)
    progress.sent(12)
    assert not progress.may_send(64)
    assert progress.next_index == 10


def test_success_ends_probing():
    progress = probing()
    progress.sent(12)
    progress.matched(12)
    assert (progress.next_index, progress.match_index, progress.probing) == (13, 12, False)
    assert progress.may_send(1)


def test_appends_are_pipelined_up_to_the_limit():
    progress = replicating()
    for last_index in (11, 13, 15):
        assert progress.may_send(3)
        progress.sent(last_index)
    assert not progress.may_send(3)
    assert progress.next_index == 16
    progress.matched(13)
    assert list(progress.in_flight) == [15]
    assert progress.may_send(3)


def test_reply_to_the_last_append_acknowledges_all():
    progress = replicating()
    for last_index in (11, 13, 15):
        progress.sent(last_index)
    progress.matched(15)
    assert not progress.in_flight


def test_match_index_never_decreases():
    progress = replicating(9)
    progress.matched(4)
    assert (progress.match_index, progress.next_index) == (9, 10)


def test_rejection_starts_probing_after_match_index():
    progress = replicating(9)
    progress.sent(15)
    progress.rejected(3)
    assert (progress.next_index, progress.match_index, progress.probing) == (10, 9, True)
    assert not progress.in_flight


def test_probing_ignores_other_rejections():
    progress = probing(10)
    assert progress.is_stale_rejection(8)
    assert progress.is_stale_rejection(10)
    assert not progress.is_stale_rejection(9)


def test_pipelining_ignores_rejections_of_appends_not_in_flight():
    progress = replicating(9)
    progress.sent(15)
    assert progress.is_stale_rejection(9)
    assert not progress.is_stale_rejection(10)
    assert not progress.is_stale_rejection(15)
    assert progress.is_stale_rejection(16)


def test_late_successes_do_not_fill_a_broken_pipeline():
    """Found by the simulator: with reordered messages, the replies to 64 appends led to 64 more, repeatedly."""
    progress = replicating(9)
    for last_index in (10, 11, 12):
        progress.sent(last_index)
    progress.rejected(10)
    for index in (10, 11):
        assert progress.may_send(64)
        progress.sent(index)
        progress.matched(9)
        assert not progress.may_send(64)
        progress.matched(index)
        assert progress.probing
    progress.heartbeat()
    progress.matched(11)
    assert (progress.probing, progress.next_index) == (False, 12)
