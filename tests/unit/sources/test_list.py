"""What the in-process list does beyond what all sources do."""

from __future__ import annotations

from guardedit.core.messages import Delivery
from guardedit.sources.list import ListSource


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def filled(*raws: bytes, clock=None, **options) -> ListSource:
    source = ListSource(clock=clock or Clock(), **options)
    for raw in raws:
        source.put(raw)
    return source


def test_given_deliveries_keep_their_source_and_position():
    given = [Delivery(raw=b"{}", source="redis", position=f"17-{n}", handle="theirs") for n in range(2)]
    source = ListSource(given)
    found = source.pull(9, 0.0)
    assert [(d.source, d.position) for d in found] == [("redis", "17-0"), ("redis", "17-1")]
    source.ack(found)
    assert source.lag().waiting == 0.0


def test_positions_of_two_lists_differ_unless_bytes_and_submission_are_the_same():
    first, again, other, changed = (
        filled(raw, submission=name).pull(1, 0.0)[0].position
        for raw, name in ((b"a", ""), (b"a", ""), (b"a", "second"), (b"b", ""))
    )
    assert first == again
    assert len({first, other, changed}) == 3


def test_closing_puts_everything_back_in_its_place():
    source = filled(b"0", b"1", b"2", b"3")
    found = source.pull(3, 0.0)
    source.ack(found[1:2])
    source.close()
    assert [d.raw for d in source.pull(9, 0.0)] == [b"0", b"2", b"3"]


def test_the_age_is_that_of_the_oldest_message_not_acknowledged():
    clock = Clock()
    source = filled(b"0", clock=clock)
    clock.now_s += 7.0
    source.put(b"1")
    clock.now_s += 1.0
    assert source.lag().oldest_s == 8.0
    source.ack(source.pull(1, 0.0))
    assert source.lag().oldest_s == 1.0
