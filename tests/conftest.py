"""Tiny random models of the real classes, with their real feature extractors and processors; no network."""

import getpass
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.labels import LabelSet

# read as huggingface_hub is imported, also by the processes that tests start
os.environ["HF_HUB_OFFLINE"] = "1"
# the cache of the person who runs the tests stays theirs
os.environ.setdefault(
    "MISTER_E_CACHE", str(Path(tempfile.gettempdir()) / f"mister-e-tests-{getpass.getuser()}")
)

#: What a test asked of the network; see `no_network`.
REFUSED: list[str] = []


def _refuse_network(event, arguments):
    """Audit hook: let Python's sockets reach nothing but this machine, as if there were no network."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        # a name is a socket of Unix, None is one that was connected before
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    host = os.fsdecode(host) if isinstance(host, bytes) else host
    if host and host not in ("localhost", "::1") and not host.startswith("127."):
        REFUSED.append(f"{event} {host}")
        raise OSError(f"{event} {host}: tests reach no network")


sys.addaudithook(_refuse_network)

#: Windows of two seconds: what is 30 s in the published models.
WINDOW = 2
TOWER = {
    "num_mel_bins": 16,
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "max_source_positions": 50 * WINDOW,
}
#: The same, as Audio Flamingo and Voxtral name it.
HIDDEN_TOWER = {
    "num_mel_bins": 16,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_source_positions": 50 * WINDOW,
}
LANGUAGE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
MARKS = [
    *("<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"),
    *("<sound>", "[INST]", "[BEGIN_AUDIO]"),
]


@pytest.fixture(autouse=True)
def no_network():
    """Fail a test that tried to reach, or to look up, another machine, whatever came of the refusal."""
    REFUSED.clear()
    yield REFUSED
    assert REFUSED == []


@pytest.fixture(scope="session")
def voice():
    def make(seconds, pitch=140.0):
        """A buzzing vowel whose loudness beats four times a second."""
        time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        phase = 2 * np.pi * pitch * time + np.sin(3 * time)
        sound = sum(np.sin(k * phase) / k for k in range(1, 12)) * (0.6 + 0.4 * np.sin(8 * np.pi * time))
        return (0.1 * sound + np.random.default_rng(0).normal(0, 0.003, len(time))).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def talk(voice):
    def make(*seconds, labels=None, name="c"):
        """Turns of so many seconds each; None = no clip."""
        pitch = {"sad": 110.0, "glad": 220.0}
        turns = []
        for number, length in enumerate(seconds):
            label = labels[number % len(labels)] if labels else None
            sound = None if length is None else voice(length, pitch.get(label, 120.0 + 20 * number))
            clip = None if sound is None else Clip(samples=sound)
            turns.append(Utterance(str(number), "words", audio=clip, label=label))
        return Conversation(name, tuple(turns))

    return make


@pytest.fixture(scope="session")
def tuned(talk):
    def make(encoder, run):
        """Some steps of fine-tuning."""
        from mister_e.training.settings import FinetuneSettings
        from mister_e.training.stage1.task import finetune

        train = [talk(0.4, None, 0.7, 0.02, 0.9, labels=["sad", "glad"])]
        settings = FinetuneSettings(
            epochs=1, learning_rate=1e-2, schedule="constant", batch_examples=2, warmup=0, trackers=()
        )
        return finetune(encoder, train, train, LabelSet(["sad", "glad"]), settings, run)

    return make


@pytest.fixture(scope="session")
def speech_base(tmp_path_factory):
    def make(family, seed=0):
        """Folder of a tiny speech model: whisper, wavlm, wav2vec2 or hubert; `-layer` = no group norm."""
        import transformers as t

        torch.manual_seed(seed)
        folder = tmp_path_factory.mktemp(family)
        if family == "whisper":
            decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}
            t.WhisperModel(
                t.WhisperConfig(
                    **TOWER, **decoder, vocab_size=20, pad_token_id=0, bos_token_id=1, eos_token_id=2
                )
            ).save_pretrained(folder)
            extractor = t.WhisperFeatureExtractor(feature_size=16, chunk_length=WINDOW)
        else:
            name, _, norm = family.partition("-")
            config, model = {
                "wavlm": (t.WavLMConfig, t.WavLMModel),
                "wav2vec2": (t.Wav2Vec2Config, t.Wav2Vec2Model),
                "hubert": (t.HubertConfig, t.HubertModel),
            }[name]
            sizes = {k: v for k, v in LANGUAGE.items() if k != "num_key_value_heads"}
            model(
                config(
                    **sizes,
                    vocab_size=20,
                    conv_dim=(16, 16, 16),
                    conv_kernel=(10, 8, 4),
                    conv_stride=(8, 8, 5),
                    num_conv_pos_embeddings=16,
                    num_conv_pos_embedding_groups=2,
                    feat_extract_norm=norm or "group",
                    do_stable_layer_norm=norm == "layer",
                    num_codevectors_per_group=4,
                )
            ).save_pretrained(folder)
            extractor = t.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
        extractor.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def byte_tokenizer():
    def make(marks, **special):
        """A real tokenizer of single bytes, after so many marks of its own."""
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        vocabulary = [*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())]
        tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(vocabulary)}, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)

    return make


@pytest.fixture(scope="session")
def llm_base(tmp_path_factory, byte_tokenizer):
    # Voxtral's processor knows its audio token by its number
    marks = [*MARKS, *(f"<unused{i}>" for i in range(len(MARKS), 24)), "[AUDIO]"]
    tokenizer = byte_tokenizer(
        marks,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=[*MARKS[3:], "[AUDIO]"],
    )

    def make(family, seed=0):
        """Folder of a tiny audio LLM: qwen2_audio, audioflamingo3 or voxtral."""
        import transformers as t

        torch.manual_seed(seed)
        folder = tmp_path_factory.mktemp(family)
        extractor = t.WhisperFeatureExtractor(feature_size=16, chunk_length=WINDOW)
        size = len(tokenizer)
        token = tokenizer.convert_tokens_to_ids
        if family == "qwen2_audio":
            config = t.Qwen2AudioConfig(
                audio_config=t.Qwen2AudioEncoderConfig(**TOWER),
                text_config=t.Qwen2Config(**LANGUAGE, vocab_size=size),
                audio_token_index=token("<|AUDIO|>"),
            )
            model, processor = (
                t.Qwen2AudioForConditionalGeneration,
                t.Qwen2AudioProcessor(extractor, tokenizer),
            )
        elif family == "audioflamingo3":
            config = t.AudioFlamingo3Config(
                audio_config=t.AudioFlamingo3EncoderConfig(**HIDDEN_TOWER),
                text_config=t.Qwen2Config(**LANGUAGE, vocab_size=size),
                audio_token_id=token("<sound>"),
            )
            template = (
                "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
                "{% if c['type'] == 'audio' %}<sound>{% endif %}{% endfor %}{% for c in m['content'] %}"
                "{% if c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
            )
            model = t.AudioFlamingo3ForConditionalGeneration
            processor = t.AudioFlamingo3Processor(extractor, tokenizer, chat_template=template)
        else:
            config = t.VoxtralConfig(
                audio_config=t.VoxtralEncoderConfig(**HIDDEN_TOWER),
                text_config=t.LlamaConfig(**LANGUAGE, vocab_size=size, head_dim=8),
                audio_token_id=token("[AUDIO]"),
            )
            model = t.VoxtralForConditionalGeneration
            processor = t.VoxtralProcessor(extractor, tokenizer)
        model(config).save_pretrained(folder)
        processor.save_pretrained(folder)
        return folder

    return make


def pytest_collection_modifyitems(items):
    """Skip on Windows what it cannot do."""
    if sys.platform == "win32":
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(pytest.mark.skip(reason="needs POSIX"))
