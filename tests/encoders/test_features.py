import numpy as np
import pytest
import torch

from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.encoders.base import embed
from mister_e.encoders.speech.features import LIMIT, FeaturesConfig, FeaturesEncoder
from mister_e.errors import InputError


def talk(*rows):
    turns = [Utterance(str(i), "x", custom={"features": row} if row else {}) for i, row in enumerate(rows)]
    return Conversation("c", tuple(turns))


TRAIN = [talk({"a": 1.0, "b": 5.0}, {"a": 3.0, "b": 5.0}, {"b": 5.0}, None)]


@pytest.fixture
def encoder():
    made = FeaturesEncoder.from_base(FeaturesConfig())
    made.fit(made.examples(TRAIN))
    return made


def test_standardised_over_the_defined_values_of_train(encoder):
    embedded, present = embed(encoder, TRAIN)
    assert encoder.config.names == ("a", "b")
    assert present.tolist() == [True, True, True, False]
    # columns a and b, then a flag for each that is undefined; a constant column is 0
    expected = [[-1.0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(embedded, torch.tensor(expected), atol=1e-6, rtol=0)


def test_far_values_are_cut(encoder):
    embedded, _ = embed(encoder, [talk({"a": 1e9, "b": np.nan})])
    assert embedded[0].tolist() == [LIMIT, 0, 0, 1]


def test_save_and_load(encoder, tmp_path):
    encoder.save(tmp_path)
    again = FeaturesEncoder.load(tmp_path)
    assert embed(again, TRAIN)[0].equal(embed(encoder, TRAIN)[0])
    assert again.identity == encoder.identity


def test_a_column_that_is_gone_is_named(encoder):
    with pytest.raises(InputError, match="feature 'a' was there in training"):
        encoder.check_corpus([talk({"b": 1.0})])


def test_no_features_at_all_is_an_error():
    made = FeaturesEncoder.from_base(FeaturesConfig())
    with pytest.raises(InputError, match="no turn of the training split has features"):
        made.fit([])


def test_a_turn_is_the_same_whatever_stands_beside_it(voice):
    told = {"duration": 1.0, "mean_hnr": 9.0}
    first = Utterance("a", custom={"features": told})
    sound = Utterance("b", audio=Clip(samples=voice(1.0)))
    sparse = Utterance("c", custom={"features": {"duration": 2.0}})
    encoder = FeaturesEncoder.from_base(FeaturesConfig())
    encoder.fit(encoder.examples([Conversation("train", (first, sparse))]))
    together, present = encoder.encode_turns([Conversation("c", (first, sound, sparse))])
    assert present.tolist() == [True, True, True]
    for number, turn in enumerate((first, sound, sparse)):
        alone, there = encoder.encode_turns([Conversation("c", (turn,))])
        assert there.tolist() == [True]
        assert torch.equal(alone[0], together[number])


def test_features_that_are_no_numbers_are_told():
    turn = Utterance("t9", custom={"features": {"duration": "long"}})
    with pytest.raises(InputError, match="turn t9"):
        FeaturesEncoder.from_base(FeaturesConfig()).examples([Conversation("c", (turn,))])


def test_keys_are_of_the_sound_where_it_is_measured(voice):
    clips = [Clip(samples=voice(seconds)) for seconds in (1.0, 1.5, 1.0)]
    turns = [Utterance(str(number), audio=clip) for number, clip in enumerate(clips)]
    turns.append(Utterance("3", custom={"features": {"duration": 1.0}}))
    turns.append(Utterance("4"))
    encoder = FeaturesEncoder.from_base(FeaturesConfig())
    encoder.fit(encoder.examples([Conversation("train", tuple(turns[3:4]))]))
    keys = encoder.content_keys([Conversation("c", tuple(turns))])
    assert keys[0] == keys[2] != keys[1]
    assert keys[3] not in (None, keys[0])
    assert keys[4] is None
