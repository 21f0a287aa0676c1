"""Text batches: padded to the longest of each batch, cut at the length that the model reads."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from prunebench import Dataset, Split
from prunebench.data.text import SPECIAL, TextTask, train_tokenizer

CPU = torch.device("cpu")
SENTENCES = ["the plot was dull", "warm", "The music was not DULL , really", "an ending"]


@pytest.fixture
def task():
    """Four sentences of different lengths, at most eight tokens long."""
    split = Split(SENTENCES, [0, 1, 1, 0])
    return TextTask(Dataset(split, split, ["no", "yes"]), train_tokenizer(SENTENCES), 8)


def test_a_batch_is_padded_to_its_longest_sentence_and_masked(task):
    batch, labels = next(iter(task.batches("train", [torch.tensor([1, 0])], CPU)))
    assert labels.tolist() == [1, 0]
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 6)  # [CLS], four words, [SEP]
    assert batch["attention_mask"].sum(1).tolist() == [3, 6]
    assert batch["input_ids"][0, 3:].eq(task.tokenizer.token_to_id("[PAD]")).all()


def test_a_long_sentence_is_cut_to_the_length_and_keeps_its_end_mark(task):
    batch, _ = next(iter(task.batches("train", [torch.tensor([2])], CPU)))
    assert batch["input_ids"].shape == (1, 8)
    assert batch["input_ids"][0, -1] == task.tokenizer.token_to_id("[SEP]")


def test_how_many_texts_are_cut_is_told(task):
    assert task.notes == ("2 of 8 texts are longer than 8 tokens; the rest is cut (--sequence-length)",)
    split = Split(SENTENCES, [0, 1, 1, 0])
    longer = Dataset(split, split, ["no", "yes"], notes=("before",))
    assert TextTask(longer, task.tokenizer, 9).notes == ("before",)


def test_a_part_of_which_the_tokenizer_knows_little_is_told(task):
    known, foreign = Split(SENTENCES, [0, 1, 1, 0]), Split(["warm фильм", "warm Ω", "dull", "was dull"], [0, 1, 1, 0])
    notes = TextTask(Dataset(known, foreign, ["no", "yes"]), task.tokenizer, 9).notes
    assert notes == ("test: 29 % of the tokens are none that the tokenizer knows",)


def test_ids_are_below_the_vocabulary_and_spell_the_sentence(task):
    batch, _ = next(iter(task.batches("test", [torch.tensor([0])], CPU)))
    ids = batch["input_ids"][0]
    assert ids.max() < task.inputs.vocabulary == task.tokenizer.get_vocab_size()
    assert task.tokenizer.decode(ids.tolist()) == SENTENCES[0]


def test_words_are_lower_cased_and_unknown_letters_are_marked(task):
    encode = task.tokenizer.encode
    assert encode("DULL").ids == encode("dull").ids
    assert task.tokenizer.token_to_id("[UNK]") in encode("Ω").ids


def test_special_tokens_come_first():
    tokenizer = train_tokenizer(SENTENCES)
    assert [tokenizer.token_to_id(token) for token in SPECIAL] == list(range(5))


def test_a_tokenizer_is_the_same_in_another_process():
    code = (
        "import sys; from prunebench.data.text import train_tokenizer; "
        f"sys.stdout.write(train_tokenizer({SENTENCES!r}).to_str())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout == train_tokenizer(SENTENCES).to_str()


def test_texts_are_told_apart_by_their_tokens_and_shown_as_they_are_written():
    sentences = Split(["Good  plot", "bad " * 200], np.array([0, 1]))
    task = TextTask(Dataset(sentences, sentences, ["a", "b"]), train_tokenizer(["good plot", "bad"]), 16)
    assert task.kinds("test")["tokens"].tolist() == [float(len(ids)) for ids in task._ids["test"]]
    short, long = task.shown("test", torch.tensor([0, 1]))
    assert (short.sample, short.text) == (0, "Good plot")
    assert long.text == ("bad " * 75) + "…"
