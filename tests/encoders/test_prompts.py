"""Prompts token by token, on a tokenizer of single bytes, and what of them is pooled."""

import pytest
import torch

from mister_e.encoders.text.encoder import TextEncoder, TextEncoderConfig
from mister_e.encoders.text.prompts import prompts, turn_mask

#: As the tokenizer writes a line's end.
LINE = "Ċ"
TALK = ["aa", None, "bbb", "  ", "c", "dd", "", "eeee"]
SPOKEN = [0, 2, 4, 5, 7]


@pytest.fixture(scope="module")
def causal(byte_tokenizer):
    return byte_tokenizer(["<pad>", "<s>", "</s>"], pad_token="<pad>", bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module")
def bidirectional(byte_tokenizer):
    return byte_tokenizer(["[PAD]", "[C]", "[S]"], pad_token="[PAD]", cls_token="[C]", sep_token="[S]")


def cut(tokenizer, words, **changes):
    plain = {"instruction": None, "history": 0, "turns_per_prompt": 1, "max_tokens": 50}
    return prompts([words], tokenizer, **{**plain, "max_prompt_tokens": 500, **changes})


def written(tokenizer, ids):
    return "".join(tokenizer.convert_ids_to_tokens(list(ids)))


def whole(tokenizer, examples):
    """The prompts as text."""
    return [written(tokenizer, example.content.ids) for example in examples]


def read_out(tokenizer, examples):
    """The turns that are read out, as text, each with its number."""
    return [
        (turn, written(tokenizer, example.content.ids[first:last]))
        for example in examples
        for turn, (first, last) in zip(example.turns, example.content.spans, strict=True)
    ]


@pytest.mark.parametrize("instruction", [None, "Say:"])
@pytest.mark.parametrize("history", [0, 1, 2, 3, 4, 9])
def test_so_many_turns_with_words_stand_before_each(causal, instruction, history):
    examples = cut(causal, TALK, history=history, instruction=instruction)
    head = "<s>" + (f"Say:{LINE}" if instruction else "")
    spoken = [TALK[i] + LINE for i in SPOKEN]
    assert whole(causal, examples) == [
        head + "".join(spoken[max(0, k - history) : k + 1]) for k in range(len(spoken))
    ]
    assert read_out(causal, examples) == list(zip(SPOKEN, spoken, strict=True))
    assert [example.cost for example in examples] == [len(example.content.ids) for example in examples]


def test_conversations_are_numbered_through_and_do_not_meet(causal):
    examples = prompts(
        [["a", None], [None, "b", "c"]],
        causal,
        instruction=None,
        history=5,
        turns_per_prompt=1,
        max_tokens=50,
        max_prompt_tokens=500,
    )
    assert [example.turns for example in examples] == [(0,), (3,), (4,)]
    assert whole(causal, examples) == [f"<s>a{LINE}", f"<s>b{LINE}", f"<s>b{LINE}c{LINE}"]


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        (1 + 3, ["dd"]),
        (1 + 3 + 3, ["dd"]),
        (1 + 3 + 4, ["ccc", "dd"]),
        (1 + 3 + 4 + 1, ["ccc", "dd"]),
        (1 + 3 + 4 + 2, ["b", "ccc", "dd"]),
        (1 + 3 + 4 + 2 + 3, ["aa", "b", "ccc", "dd"]),
    ],
)
def test_a_full_prompt_keeps_the_newest_history(causal, room, kept):
    examples = cut(causal, ["aa", "b", "ccc", "dd"], history=9, max_tokens=4, max_prompt_tokens=room)
    assert whole(causal, examples)[-1] == "<s>" + "".join(turn + LINE for turn in kept)


def test_history_has_no_gaps(causal):
    # there would be room for the oldest turn, but not for the one after it
    examples = cut(causal, ["a", "bbbbbbbb", "cc"], history=9, max_tokens=10, max_prompt_tokens=1 + 3 + 8)
    assert whole(causal, examples)[-1] == f"<s>cc{LINE}"


def test_the_instruction_stays_when_history_goes(causal):
    examples = cut(causal, ["a", "b", "c"], history=9, instruction="I", max_tokens=4, max_prompt_tokens=7)
    assert whole(causal, examples)[-1] == f"<s>I{LINE}b{LINE}c{LINE}"


def test_a_longer_turn_loses_its_end_and_never_its_mark(causal):
    assert whole(causal, cut(causal, ["abcdef"], max_tokens=6)) == [f"<s>abcd{LINE}"]
    assert whole(causal, cut(causal, ["abcd"], max_tokens=6)) == [f"<s>abcd{LINE}"]
    # with history the head is not the turn's; the turn and its mark are `max_tokens`
    examples = cut(causal, ["abcdef", "xyz"], max_tokens=4, history=1)
    assert whole(causal, examples) == [f"<s>abc{LINE}", f"<s>abc{LINE}xyz{LINE}"]
    # a prompt holds one token of a turn at least
    assert whole(causal, cut(causal, ["abc"], max_tokens=1, instruction="I")) == [f"<s>I{LINE}a{LINE}"]


def test_several_turns_a_prompt(causal):
    examples = cut(causal, ["a", "b", None, "c", "d", "e"], turns_per_prompt=2, history=1)
    assert [example.turns for example in examples] == [(0, 1), (3, 4), (5,)]
    assert whole(causal, examples) == [
        f"<s>a{LINE}b{LINE}",
        f"<s>b{LINE}c{LINE}d{LINE}",
        f"<s>d{LINE}e{LINE}",
    ]
    assert read_out(causal, examples) == [
        (0, f"a{LINE}"),
        (1, f"b{LINE}"),
        (3, f"c{LINE}"),
        (4, f"d{LINE}"),
        (5, f"e{LINE}"),
    ]


def test_a_full_prompt_is_cut_between_the_turns_that_it_reads_out(causal):
    words = ["aa", "bb", "cc", "dd"]
    examples = cut(causal, words, turns_per_prompt=4, history=2, max_tokens=4, max_prompt_tokens=7)
    assert whole(causal, examples) == [f"<s>aa{LINE}bb{LINE}", f"<s>cc{LINE}dd{LINE}"]
    examples = cut(causal, words, turns_per_prompt=3, history=2, max_tokens=4, max_prompt_tokens=10)
    assert whole(causal, examples) == [f"<s>aa{LINE}bb{LINE}cc{LINE}", f"<s>bb{LINE}cc{LINE}dd{LINE}"]


def test_a_bidirectional_prompt_has_the_marks_of_its_family(bidirectional):
    examples = cut(bidirectional, ["a", "b"], history=1, instruction="I")
    assert whole(bidirectional, examples) == ["[C]I[S]a[S]", "[C]I[S]a[S]b[S]"]
    assert read_out(bidirectional, examples) == [(0, "a[S]"), (1, "b[S]")]
    assert [example.content.start for example in examples] == [1, 1]
    # what stands before several turns belongs to none of them
    (one,) = cut(bidirectional, ["a", "b"], turns_per_prompt=2)
    assert one.content.start == 0


def test_the_start_of_a_causal_prompt_is_no_part_of_a_turn(causal):
    assert {example.content.start for example in cut(causal, TALK)} == {0}


def test_a_token_sees_its_turn_and_what_is_before(bidirectional):
    read = [
        example.content
        for words, instruction in ((["aa", "b", "cc"], "I"), (["a"], None))
        for example in cut(bidirectional, words, turns_per_prompt=3, instruction=instruction)
    ]
    longest = max(len(prompt.ids) for prompt in read) + 2
    mask = turn_mask(read, longest)
    assert mask.shape == (2, 1, longest, longest)
    for row, prompt in enumerate(read):
        part = [number for number, length in enumerate(prompt.lengths) for _ in range(length)]
        for token in range(longest):
            for other in range(longest):
                real = other < len(part)
                seen = real and (token >= len(part) or part[other] <= part[token])
                assert mask[row, 0, token, other] == seen


# what is pooled


def tiny(family, tokenizer, **config):
    """A text encoder on a tiny random model of a real class."""
    import transformers as t

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    made = {"bert": (t.BertConfig, t.BertModel), "llama": (t.LlamaConfig, t.LlamaModel)}
    make_config, make_model = made[family]
    backbone = make_model(make_config(**sizes, vocab_size=len(tokenizer), pad_token_id=0))
    return TextEncoder(TextEncoderConfig(base="tiny", **config), backbone, tokenizer).eval()


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("turns_per_prompt", [1, 3])
def test_neither_instruction_nor_history_is_pooled(causal, bidirectional, family, pooling, turns_per_prompt):
    tokenizer = bidirectional if family == "bert" else causal
    encoder = tiny(
        family,
        tokenizer,
        pooling=pooling,
        instruction="Say it:",
        history=1,
        turns_per_prompt=turns_per_prompt,
    )
    words = ["aa", "bbb", "c", "dd"]
    end, start = ("[S]", "[C]") if family == "bert" else (LINE, "")
    examples = encoder.prompts([words])
    inputs = encoder.collate(examples)
    pooled = [
        written(tokenizer, inputs["input_ids"][row, positions[real]].tolist())
        for row, positions, real in zip(inputs["rows"], inputs["positions"], inputs["span_mask"], strict=True)
    ]
    assert pooled == [(start if turns_per_prompt == 1 else "") + word + end for word in words]

    # the same with slices of the states, prompt by prompt
    for example in examples:
        one = encoder.collate([example])
        mask = one["attention_mask"]
        if mask.dim() == 4:
            mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
        with torch.inference_mode():
            states = encoder.backbone(input_ids=one["input_ids"], attention_mask=mask).last_hidden_state[0]
            embedded = encoder.embed_words([words])
        for turn, (first, last) in zip(example.turns, example.content.spans, strict=True):
            tokens = states[first:last]
            if family == "bert" and turns_per_prompt == 1:
                tokens = torch.cat([states[:1], tokens])
            expected = tokens.mean(0) if pooling == "mean" else tokens[-1]
            torch.testing.assert_close(embedded[turn], expected, atol=1e-5, rtol=1e-5)
