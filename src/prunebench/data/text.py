"""Sentences: tokenised once, padded to the longest of each batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from prunebench.data.dataset import Dataset, Part
from prunebench.data.objectives import asked_of
from prunebench.data.own_transform import OwnTransform
from prunebench.data.task import Batch, placed
from prunebench.models.input_spec import InputSpec
from prunebench.records import Shown

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = 8_000

FEW = 8
"""Sentences that a transform of the user's is tried on."""

CPU = torch.device("cpu")

LETTERS = 300
"""Of a sentence that is shown, so many at most."""

UNKNOWN = 0.05
"""Share of tokens from which on it is told that the tokenizer does not know them."""


class TextTask:
    """Classification of sentences.

    Args:
        dataset: sentences and labels.
        tokenizer: turns sentences into ids; it pads as it says, else with [PAD].
        length: longest sentence in tokens, special tokens included; the rest is cut.
        class_weights: of each class in the loss.
    """

    packages = ("tokenizers",)

    def __init__(
        self, dataset: Dataset, tokenizer: Tokenizer, length: int, class_weights: torch.Tensor | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.classes = len(dataset.classes)
        self.objective, self.targets = asked_of(dataset, class_weights)
        self._transform = None if dataset.transform is None else OwnTransform(dataset.transform)
        self.inputs = InputSpec(kind="text", vocabulary=tokenizer.get_vocab_size(), length=length)
        padding = tokenizer.padding
        tokenizer.no_padding()
        tokenizer.enable_truncation(length)
        self._pad: int = padding["pad_id"] if padding else tokenizer.token_to_id("[PAD]") or 0
        self._ids: dict[str, list[torch.Tensor]] = {}
        self._texts = {part: split.inputs for part, split in dataset.splits.items()}
        cut = 0
        for part, split in dataset.splits.items():
            encoded = tokenizer.encode_batch(list(split.inputs))
            self._ids[part] = [torch.tensor(sentence.ids) for sentence in encoded]
            cut += sum(bool(sentence.overflowing) for sentence in encoded)
        if padding:  # which token pads is kept with the tokenizer
            tokenizer.enable_padding(pad_id=padding["pad_id"], pad_token=padding["pad_token"])
        unknown = _unknown(tokenizer, self._ids)
        self.notes = (*dataset.notes, *_cut(cut, sum(map(len, self._ids.values())), length), *unknown, *self._tried())

    def batches(
        self,
        part: Part,
        chunks: Sequence[torch.Tensor],
        device: torch.device,
        *,
        augment: bool = False,
        training: bool = False,
    ) -> Iterator[Batch]:
        """Ids and attention mask, int64 of shape (batch, longest of the batch), and labels."""
        for chunk in chunks:
            batch = self._pad_batch(part, chunk, device)
            transformed = self._transform if training else None
            yield batch if transformed is None else transformed(batch), placed(self.targets[part][chunk], device)

    def kinds(self, part: Part) -> Mapping[str, torch.Tensor]:
        """How many tokens of each sentence are read, special ones included."""
        return {"tokens": torch.tensor([len(ids) for ids in self._ids[part]], dtype=torch.float32)}

    def shown(self, part: Part, samples: torch.Tensor) -> list[Shown]:
        """Sentences as they are in the data, the rest of long ones cut."""
        texts = ((index, " ".join(self._texts[part][index].split())) for index in samples.tolist())
        return [Shown(index, text=text if len(text) <= LETTERS else f"{text[:LETTERS]}…") for index, text in texts]

    def _tried(self) -> Iterator[str]:
        """What is to be said of a transform, in words; raises DataError where it cannot be used."""
        if self._transform is None:
            return
        self._transform.check(self._pad_batch("train", torch.arange(min(FEW, len(self._ids["train"]))), CPU))
        yield f"training texts are augmented by {self._transform.name}"

    def _pad_batch(self, part: Part, chunk: torch.Tensor, device: torch.device) -> dict[str, Any]:
        rows = [self._ids[part][index] for index in chunk.tolist()]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self._pad)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        return {"input_ids": placed(ids, device), "attention_mask": placed(mask, device)}


def _cut(cut: int, texts: int, length: int) -> Iterator[str]:
    """How many of the texts are longer than what is read of them, in words."""
    if cut:
        yield f"{cut:,} of {texts:,} texts are longer than {length} tokens; the rest is cut (--sequence-length)"


def _unknown(tokenizer: Tokenizer, ids: Mapping[str, Sequence[torch.Tensor]]) -> Iterator[str]:
    """Parts of which the tokenizer does not know much, as where it is of another language, in words."""
    mark = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "[UNK]")
    for part, texts in ids.items():
        tokens = sum(map(len, texts)) - len(texts) * tokenizer.num_special_tokens_to_add(False)
        count = sum(int((text == mark).sum()) for text in texts) if mark is not None else 0
        if count > UNKNOWN * tokens:
            yield f"{part}: {100 * count / tokens:.0f} % of the tokens are none that the tokenizer knows"


def train_tokenizer(sentences: Sequence[str]) -> Tokenizer:
    """A lower-casing WordPiece tokenizer whose vocabulary is learnt from the sentences, as BERT's was.

    The library numbers the letters inside words in an order that changes from process to process, and breaks ties
    between merges by these numbers, so it is given them in order; the pieces it finds are sorted and numbered anew.
    """
    learner = _assemble(models.WordPiece(unk_token="[UNK]"))
    letters = sorted({letter for text in sentences for letter in learner.normalizer.normalize_str(text)} - {" "})
    learner.train_from_iterator(
        sentences,
        trainers.WordPieceTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL + [f"##{letter}" for letter in letters],
            show_progress=False,
        ),
    )
    pieces = SPECIAL + sorted(set(learner.get_vocab()) - set(SPECIAL))
    tokenizer = _assemble(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def _assemble(model: models.WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer
