"""BERT with the weights and the tokenizer of a name or folder of Hugging Face; no code of theirs is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.data.dataset import about_to_download
from prunebench.data.task import Task
from prunebench.errors import ModelError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.starts.start import Start, fresh
from prunebench.models import hub
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.quiet import quiet

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import BertConfig


OF_USE = ("architectures", "dtype", "transformers_version", "id2label", "label2id", "num_labels")
"""Keys of a configuration that decide no layer, or that the data decides."""

SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings"),
    "vocab_size",
)
"""Keys that a run tells, were they the usual ones."""


def from_hub(experiment: Experiment) -> Start:
    """BERT by a name, or from a local folder.

    Raises:
        ModelError: it is none, cannot be had, or what it holds does not go together.
    """
    name = experiment.settings.weights
    config, tokenizer = _opened(name)
    _check(name, config, experiment.settings.sequence_length)
    known, every = tokenizer.get_vocab_size(), config.vocab_size
    unknown = [f"their tokenizer knows {known:,} of their {every:,} tokens"] * (known < every)

    def make(task: Task) -> Checkpoint:
        start = fresh(experiment, task, adapt=False, shape=_shape(config))
        loaded = hub.read(name, start.model, task.objective.arguments["classes"])
        start.model.load_state_dict(loaded.tensors)
        return replace(start, masks=loaded.masks, notes=(*loaded.notes, *unknown), fresh=loaded.fresh)

    return Start(tokenizer, None, make)


def _opened(name: str) -> tuple[BertConfig, Tokenizer]:
    """The configuration and the tokenizer of a name or folder, which belong together."""
    from transformers import AutoTokenizer, BertConfig

    local = Path(name).is_dir()
    if not local:
        about_to_download(f"{name} of Hugging Face (unless it is in the cache)")
    elif missing := _missing_in(Path(name)):
        raise ModelError(f"--weights {name} has no {missing}. Give the whole folder of a BERT model.")
    else:
        hub.check_folder(Path(name))
    try:
        with quiet():
            config = BertConfig.from_pretrained(name)
            if config.model_type != "bert":
                raise ModelError(f"--weights {name} is a {config.model_type} model, not BERT.")
            found = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        tokenizer, special = found.backend_tokenizer, set(found.all_special_tokens)
        tokenizer.no_padding()
    except ModelError:
        raise
    except Exception as error:  # transformers raises whatever the files lead it to
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        if local:
            raise ModelError(f"--weights {name}: its config or its tokenizer cannot be read: {reason}.") from error
        raise ModelError(
            f"--weights {name} is no run, no local folder of a BERT model, and could not be had from Hugging Face "
            f"({type(error).__name__}). Check the name, connect to the network, or give a local folder."
        ) from error
    if tokenizer.get_vocab_size() > config.vocab_size or not set(tokenizer.get_vocab()) - special:
        raise ModelError(
            f"--weights {name}: its tokenizer knows {tokenizer.get_vocab_size()} tokens, {len(special)} of them "
            f"special, and its weights {config.vocab_size}, so they do not belong together."
        )
    return config, tokenizer


def _missing_in(folder: Path) -> str:
    """What a folder of a model lacks that transformers would make up."""
    tokenizers = ("tokenizer.json", "vocab.txt")
    if not (folder / "config.json").is_file():
        return "config.json"
    has_tokenizer = any((folder / file).is_file() for file in tokenizers)
    return "" if has_tokenizer else f"tokenizer: neither {' nor '.join(tokenizers)}"


def _check(name: str, config: BertConfig, length: int) -> None:
    """Raise ModelError where sentences are longer than the model reads, or its weights are quantised."""
    if (longest := config.max_position_embeddings) < length:
        raise ModelError(f"--weights {name} reads at most {longest} tokens: give --sequence-length {longest}, or less.")
    if getattr(config, "quantization_config", None):
        raise ModelError(f"--weights {name} is quantised. Give the weights as they were before they were quantised.")


def _shape(config: BertConfig) -> dict[str, Any]:
    """What a model is built by: what differs from a usual BERT, and all sizes."""
    differing = {
        key: value for key, value in config.to_diff_dict().items() if key not in OF_USE and not key.startswith("_")
    }
    return {**differing, **{key: getattr(config, key) for key in SIZES}}
