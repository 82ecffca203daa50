from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mister_e import Conversation, Utterance
from mister_e.inputs import Input, named_inputs, unique_names


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cut", "cut-2", "cut.wav", "a"]), st.sampled_from([None, "x/cut.wav", "cut"])
        )
    )
)
def test_unique_names_differ_and_leave_those_that_do_already(sources):
    names = list(unique_names(sources))
    assert len(set(names)) == len(names) == len(sources)
    assert list(unique_names((name, None) for name in names)) == names
    assert names[:1] == [name for name, _ in sources[:1]]


def test_equal_names_take_the_name_of_their_file():
    conversation = Conversation("cut", (Utterance("t1", "Hello"),))
    sources = ("cut.wav", Path("cut.mp4"), "x/cut.mp4", conversation)
    inputs = named_inputs((source, None) for source in sources)
    assert [each.name for each in inputs] == ["cut", "cut.mp4", "cut-2", "cut-3"]
    assert [str(each) for each in inputs] == ["cut.wav", "cut.mp4", "x/cut.mp4", "cut"]


def test_an_input_knows_its_files():
    conversation = Conversation("call", (), source="call.wav")
    assert Input("call.wav", Path("call.srt"), "call").files == (Path("call.wav"), Path("call.srt"))
    assert Input(Path("call.wav"), None, "call").files == (Path("call.wav"),)
    assert Input(conversation, None, "call").files == ()
