"""Lines become deliveries with their bytes, whatever the bytes are."""

from __future__ import annotations

import io

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from guardedit.core.correction import MAX_MESSAGE_BYTES
from guardedit.core.errors import SourceError
from guardedit.sources.jsonl import MAX_LINE_BYTES, open_file, read_lines


def read(content: bytes, *, submission: str = "s", name: str = "f"):
    return list(read_lines(io.BytesIO(content), name=name, submission=submission))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"\n", b"\r\n", b" ", b"{}", b"\xff", b"\x00"])))
def test_every_line_that_is_not_blank_keeps_its_bytes_and_its_number(content):
    text = content if isinstance(content, bytes) else b"".join(content)
    assume(b"[" not in text and not text.startswith(b"\xef\xbb\xbf"))  # arrays and marks are tried below
    wanted = [(f"f:{n}", line) for n, line in enumerate(text.split(b"\n"), start=1) if line.strip()]
    assert [(d.position.partition("#")[0], d.raw) for d in read(text)] == wanted


def test_a_carriage_return_belongs_to_the_line():
    assert [d.raw for d in read(b"{}\r\n\r\n{}")] == [b"{}\r", b"{}"]


def test_a_file_submitted_again_is_heard_again_and_a_repeated_submission_is_not():
    monday, tuesday, monday_again = (read(b"{}\n[]\n", submission=s) for s in ("mon", "tue", "mon"))
    positions = {d.position for d in monday}
    assert positions.isdisjoint(d.position for d in tuesday)
    assert [d.position for d in monday_again] == [d.position for d in monday]


def test_under_one_submission_only_edited_lines_are_new():
    before, after = read(b"{}\n[]\n"), read(b"{}\n[1]\n")
    assert before[0].position == after[0].position
    assert before[1].position != after[1].position


def test_equal_lines_of_one_file_differ_in_position():
    assert len({d.position for d in read(b"{}\n{}\n{}\n")}) == 3


def test_a_line_at_the_limit_is_whole():
    for end in (b"", b"\n"):
        (found,) = read(b"x" * MAX_LINE_BYTES + end)
        assert len(found.raw) == MAX_LINE_BYTES
        assert "bytes" not in found.position


@pytest.mark.parametrize("excess", [1, 5, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 2 * MAX_LINE_BYTES - 1])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_over_the_limit_is_cut_says_so_and_costs_no_other_line(excess, end):
    size = MAX_LINE_BYTES + excess
    found = read(b"{}\n" + b"x" * size + end + (b"[]" if end else b""))
    assert found[1].raw == b"x" * MAX_LINE_BYTES
    assert found[1].position.startswith("f:2#")
    assert found[1].position.endswith(f" (first {MAX_LINE_BYTES} of {size} bytes)")
    assert [d.raw for d in found[2:]] == ([b"[]"] if end else [])
    assert not end or found[2].position.startswith("f:3#")


ARRAY = b'[{"id": "a"}, {"id": "b"},\n 7]'


def places(content: bytes) -> list[tuple[str, bytes]]:
    return [(d.position.partition("#")[0], d.raw) for d in read(content)]


def test_an_array_on_a_line_is_read_as_its_elements():
    assert places(b'{}\n[{"id": "a"}, {}]\n{}') == [
        ("f:1", b"{}"),
        ("f:2[1]", b'{"id": "a"}'),
        ("f:2[2]", b"{}"),
        ("f:3", b"{}"),
    ]


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n \n", b"\xef\xbb\xbf\r\n"])
def test_an_array_that_fills_the_file_is_read_as_its_elements_on_however_many_lines(before):
    line = 1 + before.count(b"\n")
    wanted = [(f"f:{line}[1]", b'{"id": "a"}'), (f"f:{line}[2]", b'{"id": "b"}'), (f"f:{line}[3]", b"7")]
    for content in (ARRAY, ARRAY.replace(b"\n", b"\r\n"), ARRAY.replace(b", ", b",\n\n") + b"\n\n"):
        assert places(before + content) == wanted


@pytest.mark.parametrize("broken", [b"[", b"[1,\n2", b"[{}\n{}]", b"[\n{}\n", b"[" * 10_000])
def test_what_only_begins_like_an_array_is_read_line_by_line(broken):
    lines = (broken + b'\n{"id": "z"}').split(b"\n")
    assert places(b"\n".join(lines)) == [(f"f:{n}", line) for n, line in enumerate(lines, 1) if line]


def test_an_array_on_one_long_line_is_not_cut_and_a_long_line_that_is_none_is():
    element = b'{"pad": "%s"}' % (b"x" * 50_000)
    many = b"[" + b",".join([element] * 40) + b"]"
    assert len(many) > MAX_LINE_BYTES
    for end in (b"", b"\n", b"\n{}"):
        found = read(many + end)
        assert [d.raw for d in found[:40]] == [element] * 40
        assert [d.raw for d in found[40:]] == ([b"{}"] if end == b"\n{}" else [])
    size = len(many) - 1
    found = read(many[:-1] + b"\n{}")
    assert [len(found[0].raw), found[1].raw] == [MAX_LINE_BYTES, b"{}"]
    assert found[0].position.endswith(f" (first {MAX_LINE_BYTES} of {size} bytes)")


def test_a_byte_order_mark_at_the_beginning_is_skipped_and_nowhere_else():
    mark = b"\xef\xbb\xbf"
    assert places(mark + b"{}\n" + mark + b"{}") == [("f:1", b"{}"), ("f:2", mark + b"{}")]
    assert places(mark) == []
    assert read(mark + b"{}")[0].position == read(b"{}")[0].position


def test_lines_are_delivered_before_the_stream_ends():
    class Endless(io.RawIOBase):
        def readline(self, size=-1):
            return b"{}\n"

    lines = read_lines(Endless(), name="-", submission="s")
    assert [next(lines).position.partition("#")[0] for _ in range(3)] == ["-:1", "-:2", "-:3"]


def test_a_stream_that_breaks_is_a_source_error_with_the_line():
    class Broken(io.BytesIO):
        def readline(self, size=-1):
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().readline(size)

    lines = read_lines(Broken(b"{}\n{}\n"), name="f", submission="s")
    next(lines)
    with pytest.raises(SourceError, match=r"reading f stopped at line 2: .*Input/output error"):
        next(lines)


def test_a_file_is_a_source_and_its_positions_survive_reopening(tmp_path):
    path = tmp_path / "some corrections.jsonl"
    path.write_bytes(b"{}\n\n[]\n")
    written = str(path).replace(" ", "%20")
    urls = [f"file:{path}", f"file://{written}", f"file://localhost{written}"]
    found = [[(d.raw, d.source, d.position) for d in open_file(url).pull(9, 0.0)] for url in urls]
    assert [raw for raw, _, _ in found[0]] == [b"{}", b"[]"]
    assert found[0] == found[1] == found[2]
    assert {source for _, source, _ in found[0]} == {"file"}


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(SourceError, match=f"cannot read {tmp_path}"):
        open_file(f"file:{tmp_path}/{name}")


def test_the_limit_is_above_what_a_correction_may_have():
    assert MAX_MESSAGE_BYTES < MAX_LINE_BYTES
