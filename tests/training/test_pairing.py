"""Conversations of words that are paired with clips of other voices."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from paired_stores import SPEECH_DIM, make_clips, make_encoder, make_words, pooled_states
from stores import LABELS, TEXT_DIM

from mister_e.encoders.conversations import StoredConversation
from mister_e.errors import InputError
from mister_e.labels import LabelSet
from mister_e.training.settings import MixtureRecipe, PairingConfig
from mister_e.training.stage2.conditions import conditions_of
from mister_e.training.stage2.pairing import (
    PairedSampler,
    Voices,
    VoiceStores,
    drop_modality,
    replace_speech,
)


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture(scope="module")
def voices(encoder):
    """Clips of two acted corpora, and neutral ones of read speech."""
    labels = torch.tensor([0, 1, 2] * 8 + [0] * 6)
    kept = pooled_states(encoder, labels.tolist(), torch.Generator().manual_seed(0))
    corpora = np.array(["loud"] * 12 + ["soft"] * 12 + ["reading"] * 6)
    return Voices(encoder, kept, labels, corpora, frozenset({"reading"}))


def talk(turns=6, seed=0, has_speech=True):
    random = torch.Generator().manual_seed(seed)
    everywhere = torch.ones(turns, dtype=torch.bool)
    return StoredConversation(
        f"talk{seed}",
        tuple(str(turn) for turn in range(turns)),
        torch.randn(turns, TEXT_DIM, generator=random),
        torch.randn(turns, SPEECH_DIM, generator=random),
        everywhere,
        everywhere if has_speech else ~everywhere,
        torch.randint(3, (turns,), generator=random),
    )


# one conversation


def test_clips_of_one_corpus_take_the_place_of_a_conversations_speech_as_one_recording(voices, monkeypatch):
    base = talk(9)
    asked = []
    plain = Voices.recording
    monkeypatch.setattr(
        Voices, "recording", lambda self, places: (asked.append(list(places)), plain(self, places))[1]
    )
    random = np.random.default_rng(0)
    for _ in range(20):
        shown = replace_speech(base, voices, 1.0, random)
        assert voices.labels[asked[-1]].tolist() == base.labels.tolist()
        assert len(set(voices.corpora[asked[-1]])) == 1
        assert shown.has_speech.all()
        assert torch.equal(shown.text, base.text)
        # relative to the recording that they make, and not as they are alone
        assert torch.equal(shown.speech, plain(voices, asked[-1]))
    assert not torch.allclose(shown.speech, voices.alone[asked[-1]])
    assert {voices.corpora[places[0]] for places in asked} == {"loud", "soft"}  # never read speech


@pytest.mark.parametrize(("agree", "expected"), [(1.0, 1.0), (0.6, 0.6 + 0.4 / 3), (0.0, 1 / 3)])
def test_so_many_clips_agree_with_the_turn(voices, monkeypatch, agree, expected):
    asked = []
    monkeypatch.setattr(
        Voices,
        "recording",
        lambda self, places: (asked.append(list(places)), torch.zeros(len(places), SPEECH_DIM))[1],
    )
    random = np.random.default_rng(1)
    base = talk(50)
    for _ in range(60):
        replace_speech(base, voices, agree, random)
    right = np.mean([voices.labels[places].numpy() == base.labels.numpy() for places in asked])
    # of the clips that need not agree, a third has the label by chance
    assert right == pytest.approx(expected, abs=0.03)
    asked.clear()
    replace_speech(base, voices, 0.0, random, otherwise=True)
    assert not (voices.labels[asked[0]] == base.labels).any()


def test_a_label_that_the_corpus_lacks_gets_any_clip_and_a_lone_label_its_own(voices):
    base = replace(talk(4), labels=torch.tensor([0, 1, -1, 2]))
    chosen = torch.tensor([0, 3, 6])
    few = replace(
        voices, features=voices.features[chosen], labels=voices.labels[chosen], corpora=voices.corpora[chosen]
    )
    random = np.random.default_rng(0)
    assert replace_speech(base, few, 1.0, random).speech.shape == (4, SPEECH_DIM)
    # there is no clip of another label
    assert replace_speech(base, few, 0.0, random, otherwise=True).has_speech.all()


def test_a_turn_keeps_what_it_has_alone():
    base = talk(6)
    everywhere = torch.ones(6, dtype=torch.bool)
    both = drop_modality(base, speech=everywhere, text=everywhere)
    assert not both.has_speech.any()
    assert both.has_text.all()
    assert not drop_modality(base, text=everywhere).has_text.any()
    silent = talk(6, has_speech=False)
    assert drop_modality(silent, text=everywhere).has_text.all()
    one = torch.tensor([True] + [False] * 5)
    assert drop_modality(base, speech=one).has_speech.tolist() == [False] + [True] * 5


# an epoch


def epoch(voices, talks, number=0, seed=0, **settings):
    return PairedSampler(PairingConfig(**settings), voices).epoch(talks, seed, number)


def test_an_epoch_is_the_same_whenever_it_is_asked_for(voices):
    talks = [talk(5, seed) for seed in range(12)]
    first, again, next_, other = (
        epoch(voices, talks, number, seed, singles=9) for number, seed in ((3, 0), (3, 0), (4, 0), (3, 1))
    )
    assert [conversation.id for conversation in first] == [conversation.id for conversation in again]
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one.speech, two.speech)
        assert torch.equal(one.has_text, two.has_text)
    for different in (next_, other):
        assert [conversation.id for conversation in different] != [conversation.id for conversation in first]


def test_every_conversation_is_shown_once_and_clips_besides(voices):
    talks = [talk(5, seed) for seed in range(12)]
    shown = epoch(voices, talks, singles=40, neutral_recordings=30)
    ids = Counter(conversation.id for conversation in shown if conversation.text is not None)
    assert ids == Counter(conversation.id for conversation in talks)
    clips = [conversation for conversation in shown if conversation.text is None]
    assert len(clips) == 70
    assert not any(conversation.has_text.any() for conversation in clips)
    assert all(conversation.has_speech.all() for conversation in clips)
    assert sum(len(conversation) == 1 for conversation in clips) == 40
    # read speech: recordings of 4 to 24 clips in which all is neutral
    recordings = [conversation for conversation in clips if len(conversation) > 1]
    lengths = {len(conversation) for conversation in recordings}
    assert min(lengths) >= 4
    assert max(lengths) <= 24
    assert len(lengths) > 8
    assert not any(conversation.labels.any() for conversation in recordings)
    assert all(id_.startswith("reading-") for conversation in recordings for id_ in conversation.ids)
    # no order: what is alike does not stand together
    kinds = [len(conversation) == 1 for conversation in shown]
    assert sum(a != b for a, b in itertools.pairwise(kinds)) > 15


def test_single_clips_come_as_often_from_every_corpus_and_label(voices):
    shown = epoch(voices, [], singles=3000, neutral_recordings=0)
    cells = Counter((each.ids[0].split("-")[0], int(each.labels[0])) for each in shown)
    assert len(cells) == 7
    for count in cells.values():
        assert count == pytest.approx(3000 / 7, rel=0.2)
    assert torch.equal(shown[0].speech[0], voices.alone[int(shown[0].ids[0].split("-")[1])])


def test_without_read_speech_there_are_no_recordings_of_it(voices):
    acted = replace(voices, neutral=frozenset())
    assert len(epoch(acted, [talk()], singles=0, neutral_recordings=10)) == 1


def kinds_of(shown, base):
    """How each conversation was shown."""
    kinds = Counter()
    for conversation in shown:
        own = base[conversation.id]
        if not conversation.has_text.any():
            kinds["wordless"] += 1
        elif not conversation.has_speech.any():
            kinds["text alone"] += 1
        else:
            kinds["own" if torch.equal(conversation.speech, own.speech) else "paired"] += 1
    return kinds


def test_so_many_conversations_are_paired_text_alone_and_as_they_are(voices):
    talks = [talk(5, seed) for seed in range(1200)]
    base = {conversation.id: conversation for conversation in talks}
    settings = {"singles": 0, "neutral_recordings": 0, "dropped": 0.0}
    kinds = kinds_of(epoch(voices, talks, **settings), base)
    assert kinds["text alone"] / 1200 == pytest.approx(0.25, abs=0.04)
    assert kinds["wordless"] / 1200 == pytest.approx(0.45 * 0.2, abs=0.03)
    assert kinds["paired"] / 1200 == pytest.approx(0.45 * 0.8, abs=0.04)
    assert kinds["own"] / 1200 == pytest.approx(0.3, abs=0.04)
    assert kinds_of(epoch(voices, talks, text_alone=0.99, paired=0, **settings), base)["text alone"] > 1150
    assert set(kinds_of(epoch(voices, talks, text_alone=0, paired=0, **settings), base)) == {"own"}


def test_dropping_takes_a_fraction_of_the_turns_and_never_all_of_one(voices):
    talks = [talk(5, seed, has_speech=seed % 3 > 0) for seed in range(400)]
    settings = {"text_alone": 0.0, "paired": 0.0, "singles": 0, "neutral_recordings": 0}
    shown = {each.id: each for each in epoch(voices, talks, dropped=0.3, **settings)}
    heard = [conversation for conversation in talks if conversation.has_speech.all()]
    lost = {
        name: np.mean([1 - getattr(shown[each.id], name).float().mean() for each in heard])
        for name in ("has_speech", "has_text")
    }
    # where both fall, the speech goes
    assert lost["has_speech"] == pytest.approx(0.3, abs=0.03)
    assert lost["has_text"] == pytest.approx(0.3 * 0.7, abs=0.03)
    for conversation in shown.values():
        assert (conversation.has_text | conversation.has_speech).all()
    for conversation in epoch(voices, talks, dropped=0.9, singles=5):
        assert (conversation.has_text | conversation.has_speech).all()


# the recipe


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"pairing": {"paired": 0.8, "text_alone": 0.3}}, "paired 0.8 and text_alone 0.3 are more than 1"),
        ({"pairing": {}, "train": {"batch_turns": 100}}, "batch_turns: leave it out"),
        ({"pairing": {}, "model": {"experts": ["text"]}}, "reads only one of them"),
        ({"pairing": {"company": 1}}, "pairing.company"),
    ],
)
def test_a_pairing_that_cannot_be_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        MixtureRecipe.model_validate(fields)


def test_only_a_recipe_that_pairs_says_so_of_its_runs():
    assert "pairing" not in MixtureRecipe().settings()
    assert MixtureRecipe(pairing=PairingConfig(agree=0.5)).settings()["pairing"]["agree"] == 0.5


# stores


@pytest.fixture(scope="module")
def stores(encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    loud = make_clips(folder / "loud", encoder, "loud")
    reading = make_clips(folder / "reading", encoder, "reading", clips=6, only=0)
    return VoiceStores([loud, reading], encoder, "voice")


@pytest.fixture(scope="module")
def words(encoder, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("words") / "store", encoder)


def test_what_is_read_of_stores_embeds_clips_as_the_stores_do(stores, encoder):
    clips = stores.clips("validation", LabelSet(LABELS), ["reading"])
    assert (len(clips), clips.acted, list(clips.read)) == (18, ["loud"], list(range(12, 18)))
    assert clips.labels.tolist() == [0, 1, 2] * 4 + [0] * 6
    stored = [turn for store in stores.stores for turn in store.conversations("validation")]
    torch.testing.assert_close(clips.alone, torch.cat([turn.speech for turn in stored]))
    together = clips.as_one_recording(range(12))
    assert [len(conversation) for conversation in together] == [1] * 12
    whole = encoder.embed_recording(clips.features[:12])
    torch.testing.assert_close(torch.cat([conversation.speech for conversation in together]), whole)


def test_labels_of_clips_are_matched_by_name(encoder, tmp_path):
    named = make_clips(tmp_path / "named", encoder, "named", labels=("glad", "mad", "bored"))
    clips = VoiceStores([named], encoder).clips("train", LabelSet(LABELS))
    # glad and mad are the mixture's second and third; bored is none of them
    assert clips.labels.tolist() == [1, 2] * 4
    with pytest.raises(InputError, match=r"no clip of its train split has a label of the mixture \(a, b\)"):
        VoiceStores([named], encoder).clips("train", LabelSet(("a", "b")))


def test_voices_that_do_not_belong_together_are_refused(stores, words, encoder, tmp_path):
    stores.check(words)
    other = make_encoder(1)
    with pytest.raises(
        InputError,
        match=f"talks.*|store: its speech embeddings are by voice {encoder.identity[:12]}…, but --speech is"
        f" other {other.identity[:12]}",
    ):
        VoiceStores(stores.stores, other, "other").check(words)
    foreign = make_clips(tmp_path / "foreign", other, "foreign")
    with pytest.raises(InputError, match=f"foreign: its .* by voice {other.identity[:12]}…, but --speech"):
        VoiceStores([*stores.stores, foreign], encoder).check(words)
    twice = VoiceStores([stores.stores[0], stores.stores[0]], encoder)
    with pytest.raises(InputError, match="both are of loud; give it once"):
        twice.check(words)


@pytest.mark.parametrize(
    ("neutral", "said"),
    [
        (["whisper"], "neutral_corpora names 'whisper', but --voices are loud, reading"),
        (["loud", "reading"], "give one of acted clips too"),
        (["loud"], "loud: its train split has several labels"),
    ],
)
def test_neutral_corpora_that_are_none_are_refused(stores, neutral, said):
    with pytest.raises(InputError, match=said):
        stores.clips("train", LabelSet(LABELS), neutral)


def test_a_store_without_what_the_encoder_keeps_is_refused(encoder, tmp_path):
    old = make_clips(tmp_path / "old", encoder, "old", keep_features=False)
    with pytest.raises(InputError, match=r"old/speech/000000.*embed again into a new store"):
        old.turn_features("speech", "train")
    with pytest.raises(InputError, match="holds no text embeddings"):
        old.turn_features("text", "train")
    with pytest.raises(InputError, match="there is no split 'dev'"):
        old.turn_features("speech", "dev")


def test_features_are_those_of_turns_that_are_there(words):
    features, labels = words.turn_features("speech", "train")
    talks = [conversation for conversation in words.conversations("train") if conversation.has_speech.any()]
    assert len(talks) == 9  # one of ten has no speech
    assert features.shape[0] == len(labels) == 9 * 6
    assert torch.equal(labels, torch.cat([conversation.labels for conversation in talks]))
    embeddings, _ = words.turn_features("text", "train")  # whose encoder is not relative to the recording
    assert embeddings.shape == (60, TEXT_DIM)


# conditions


def test_a_split_is_shown_in_every_way(stores, words):
    labels = LabelSet(LABELS)
    clips = stores.clips("test", labels, ["reading"])
    talks = list(words.conversations("test"))
    found = {condition.name: condition for condition in conditions_of(talks, clips, PairingConfig())}
    assert list(found) == [
        "text",
        "text and statistics",
        "text and acted clips, 60 % of the turn's label",
        "voice",
        "pairs that agree (the words' label)",
        "pairs that disagree (the words' label)",
        "voice: loud",
        "voice: loud, as one recording",
        "voice: reading",
        "voice: reading, as one recording",
    ]
    assert [name for name, condition in found.items() if condition.selects] == list(found)[:4]
    assert {name: condition.calibrates for name, condition in found.items() if condition.calibrates} == {
        "text": "text",
        "text and statistics": "both",
        "text and acted clips, 60 % of the turn's label": "both",
        "voice": "speech",
        "voice: loud, as one recording": "speech",
    }
    assert [name for name, condition in found.items() if condition.among_present] == [
        "voice: loud",
        "voice: loud, as one recording",
    ]
    for conversation in found["text"].conversations:
        assert conversation.has_text.all()
        assert not conversation.has_speech.any()
    assert found["text and statistics"].conversations == talks
    assert len(found["voice"].conversations) == 18
    paired = found["text and acted clips, 60 % of the turn's label"].conversations
    assert all(conversation.has_speech.all() and conversation.has_text.all() for conversation in paired)
    again = conditions_of(talks, clips, PairingConfig())[2].conversations
    assert all(torch.equal(one.speech, two.speech) for one, two in zip(paired, again, strict=True))
