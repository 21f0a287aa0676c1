"""Models of transformers answer as transformers has them, with their own tokenizer, padding, size and normalisation."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress

import pytest
import torch
import transformers as t
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers.utils import logging as transformers_logging

from prunebench.config import RunConfig
from prunebench.data.dataset import datasets
from prunebench.errors import ConfigError, DataError, ModelError
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.models.input_spec import output_of

WORDS = (
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    *sorted({word for text in datasets.get("reviews").load().train.inputs for word in text.split()}),
)
VOCABULARY = len(WORDS) + 3
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
SIZE |= {"vocab_size": VOCABULARY, "max_position_embeddings": 34}
SMALL = {"limit_train": 16, "limit_test": 8, "sequence_length": 12}

CONFIGS = {
    "roberta": lambda: t.RobertaConfig(**SIZE),
    "albert": lambda: t.AlbertConfig(**SIZE, embedding_size=16, pad_token_id=1),
    "distilbert": lambda: t.DistilBertConfig(
        vocab_size=VOCABULARY, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=34, pad_token_id=1
    ),
    "gpt2": lambda: t.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=34, bos_token_id=0, eos_token_id=2
    ),
    "llama": lambda: t.LlamaConfig(**SIZE, num_key_value_heads=2, bos_token_id=0, eos_token_id=2),
}
DECODERS = ("gpt2", "llama")


@pytest.fixture(autouse=True)
def _quiet():
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    yield
    transformers_logging.set_verbosity(before)


def tokenizer(*, pads=True, words=WORDS):
    """Of words at spaces, as RoBERTa's has <s> first and </s> last; decoders' has <s> alone and no padding."""
    found = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    found.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = " </s>" if pads else ""
    special = [(token, words.index(token)) for token in ("<s>", "</s>")]
    found.post_processor = processors.TemplateProcessing(single=f"<s> $A{ends}", special_tokens=special)
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return t.PreTrainedTokenizerFast(tokenizer_object=found, **roles, **({"pad_token": "<pad>"} if pads else {}))


def saved(family, folder, *, auto=t.AutoModelForSequenceClassification, **more):
    """A folder of a family with weights and a tokenizer; returns the model."""
    torch.manual_seed(1)
    config = CONFIGS[family]()
    for name, value in more.items():
        setattr(config, name, value)
    model = auto.from_config(config).eval()
    model.save_pretrained(folder)
    tokenizer(pads=family not in DECODERS).save_pretrained(folder)
    return model


def setup_of(folder, **more):
    given = {**SMALL, **more}
    return set_up(resolve(RunConfig(model=f"hf:{folder}", runs_dir=str(folder / "runs"), **given)))


def changed(folder, file="config.json", **changes):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("family", CONFIGS)
def test_weights_of_a_folder_answer_as_in_transformers_on_padded_sentences(family, tmp_path):
    theirs = saved(family, tmp_path)
    setup = setup_of(tmp_path, weights="default")
    state, found = setup.fresh(), setup.task
    chunk = torch.arange(8)
    ((batch, _),) = found.batches("test", [chunk], torch.device("cpu"))
    assert (batch["attention_mask"] == 0).any()
    read = t.AutoTokenizer.from_pretrained(tmp_path)
    if read.pad_token is None:
        read.pad_token, theirs.config.pad_token_id = read.eos_token, read.eos_token_id
    texts = [setup.dataset.test.inputs[number] for number in chunk.tolist()]
    expected = read(list(texts), padding=True, truncation=True, max_length=12, return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    with torch.no_grad():
        logits = output_of(state.model.eval(), batch)
        alone = theirs(expected["input_ids"], attention_mask=expected["attention_mask"]).logits
        first = len(batch["attention_mask"][0].nonzero())
        single = theirs(expected["input_ids"][:1, :first]).logits
    torch.testing.assert_close(logits, alone)
    torch.testing.assert_close(logits[:1], single)
    assert state.fresh == ()
    padded = f"sentences are padded with </s>, since {tmp_path} has no token for that"
    some = f"their tokenizer knows {len(WORDS)} of their {VOCABULARY} tokens"
    assert state.notes == ((padded, some) if family in DECODERS else (some,))


def test_padding_is_kept_with_the_tokenizer_of_a_checkpoint(tmp_path):
    saved("gpt2", tmp_path)
    found = Tokenizer.from_str(setup_of(tmp_path, weights="default").fresh().tokenizer)
    assert (found.padding["pad_id"], found.padding["pad_token"]) == (2, "</s>")


@pytest.mark.parametrize("family", CONFIGS)
def test_a_config_alone_is_built_with_fresh_weights_and_a_vocabulary_of_the_data(family, tmp_path):
    CONFIGS[family]().save_pretrained(tmp_path)
    setup = setup_of(tmp_path)
    state, config = setup.fresh(), setup.fresh().model.config
    tokens = Tokenizer.from_str(state.tokenizer)
    assert config.vocab_size == tokens.get_vocab_size() == setup.task.inputs.vocabulary
    assert (config.pad_token_id, config.eos_token_id) == (tokens.token_to_id("[PAD]"), tokens.token_to_id("[SEP]"))
    ((batch, _),) = setup.task.batches("test", [torch.arange(8)], torch.device("cpu"))
    with torch.no_grad():
        logits = output_of(state.model.eval(), batch)
        short = {name: tensor[:1, : int(batch["attention_mask"][0].sum())] for name, tensor in batch.items()}
        torch.testing.assert_close(output_of(state.model, short), logits[:1])


def test_a_tokenizer_of_the_folder_is_used_with_fresh_weights_too(tmp_path):
    saved("roberta", tmp_path)
    setup = setup_of(tmp_path)
    assert setup.start.tokenizer.get_vocab_size() == len(WORDS)
    assert setup.fresh().model.config.vocab_size == VOCABULARY


def test_attention_is_pytorchs_where_the_model_has_it(tmp_path):
    saved("roberta", tmp_path)
    assert setup_of(tmp_path).fresh().model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("safe", [True, False])
def test_weights_of_a_bare_model_in_another_type_leave_the_classifier_alone_fresh(safe, tmp_path):
    model = saved("roberta", tmp_path, auto=t.AutoModel)
    half = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    if not safe:
        (tmp_path / "model.safetensors").unlink()
        torch.save(half, tmp_path / "pytorch_model.bin")
    state = setup_of(tmp_path, weights="default").fresh()
    assert {name.rpartition(".")[0] for name in state.fresh} == {"classifier.dense", "classifier.out_proj"}
    own = state.model.roberta.state_dict()
    assert all(torch.equal(own[name], (model.state_dict() if safe else half)[name].float()) for name in own)
    assert "the classifier starts fresh, since the weights have none" in state.notes


def test_weights_that_lack_a_layer_are_refused_by_name(tmp_path):
    model = saved("llama", tmp_path)
    state = {name: value for name, value in model.state_dict().items() if "layers.1.mlp.up_proj" not in name}
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"does not fit llama: model\.layers\.1\.mlp\.up_proj\.weight is missing"):
        setup_of(tmp_path, weights="default").fresh()


def test_weights_of_another_folder_bring_their_own_shape_and_tokenizer(tmp_path):
    (tmp_path / "mine").mkdir()
    CONFIGS["roberta"]().save_pretrained(tmp_path / "mine")
    theirs = saved("roberta", tmp_path / "theirs", num_hidden_layers=1)
    state = setup_of(tmp_path / "mine", weights=str(tmp_path / "theirs")).fresh()
    assert torch.equal(state.model.classifier.dense.weight, theirs.classifier.dense.weight)
    assert len(state.model.roberta.encoder.layer) == 1


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        (lambda f: changed(f, vocab_size=9), {}, "tokens, 4 of them special, and its config 9, so they do not belong"),
        (lambda f: None, {"sequence_length": 33}, "reads at most 32 tokens: give --sequence-length 32, or less"),
        (lambda f: (f / "tokenizer.json").write_text("{"), {}, "its tokenizer cannot be read: "),
        (lambda f: (f / "tokenizer.json").unlink(), {"weights": "default"}, "has no tokenizer, which its weights need"),
        (lambda f: (f / "model.safetensors").unlink(), {"weights": "default"}, "holds no weights: neither"),
        (lambda f: (f / "config.json").unlink(), {}, "has no config.json. Give the whole folder"),
        (lambda f: (f / "config.json").write_text("{"), {}, "its config.json cannot be read: "),
        (lambda f: (f / "config.json").write_text("[]"), {}, "its config.json cannot be read: it holds no object"),
        (lambda f: changed(f, num_attention_heads="4"), {}, "its config.json cannot be read: Field 'num_attention"),
        (lambda f: changed(f, quantization_config={"load_in_8bit": True}), {}, "it is quantised. Give the model as"),
        (lambda f: changed(f, num_hidden_layers=10**9), {}, "a model of 1,000,000,000 layers is not built"),
        (lambda f: changed(f, model_type="whisper"), {}, "transformers has no classifier of 'whisper', neither of"),
        (lambda f: changed(f, model_type=None), {}, "has no `model_type`, which says of what type the model is"),
        (lambda f: changed(f, model_type="timm_wrapper"), {}, "give the model of timm itself, as --model timm:NAME"),
        (lambda f: changed(f, hidden_act="none"), {}, "cannot be built for sentences of 12 tokens: 'none'"),
        (lambda f: None, {"weights": "imagenet"}, "there are none for hf:"),
        (lambda f: None, {"model_arg": ("width=3",)}, "has no such argument"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told_in_a_line_before_anything_is_trained(change, given, message, tmp_path):
    saved("roberta", tmp_path)
    change(tmp_path)
    with pytest.raises((ConfigError, ModelError)) as caught:
        setup_of(tmp_path, **given).fresh()
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_model_with_no_token_to_pad_with_is_refused(tmp_path):
    saved("gpt2", tmp_path)
    changed(tmp_path, eos_token_id=None, bos_token_id=None)
    words = {token: token for token in ("unk_token",)}
    t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(pads=False).backend_tokenizer, **dict.fromkeys(words, "<unk>")
    ).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no token to pad sentences with, and none that ends them"):
        setup_of(tmp_path)


def test_a_name_that_hugging_face_does_not_answer_for_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it tries for 20 s
    with pytest.raises(DataError, match=r"no-one/no-such-model .* Check the name, connect to the network, or give a"):
        resolve(RunConfig(model="hf:no-one/no-such-model"))


@pytest.mark.parametrize("name", ["hf:", "hf:./nothing-here", "hf:/nothing/here"])
def test_a_folder_that_is_not_there_is_told_and_nothing_is_downloaded(name, caplog):
    with caplog.at_level("INFO"), pytest.raises(ConfigError, match="folder"):
        resolve(RunConfig(model=name))
    assert "downloading" not in caplog.text


@pytest.mark.parametrize("weights", ["none", "default"])
def test_code_in_a_folder_is_not_run(weights, tmp_path):
    saved("roberta", tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'stolen')!r}, 'w').close()\nclass Evil: pass\n")
    autos = ("AutoConfig", "AutoModelForSequenceClassification", "AutoModel")
    changed(tmp_path, auto_map=dict.fromkeys(autos, "evil.Evil"), _attn_implementation="some-one/kernel")
    changed(tmp_path, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})
    with suppress(ModelError):
        setup_of(tmp_path, weights=weights).fresh()
    assert not (tmp_path / "stolen").exists()


def processor(folder, **about):
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "ViTImageProcessor", **about}))


VIT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
HALF = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


def vit(folder, **about):
    torch.manual_seed(1)
    model = t.ViTForImageClassification(t.ViTConfig(**VIT, image_size=16, patch_size=4, num_labels=10)).eval()
    model.save_pretrained(folder)
    processor(folder, **about)
    return model


def images_setup(folder, **more):
    given = {"limit_train": 20, "limit_test": 10, "dataset": "digits", **more}
    return set_up(resolve(RunConfig(model=f"hf:{folder}", runs_dir=str(folder / "runs"), **given)))


@pytest.mark.parametrize(
    "about",
    [
        {"size": {"height": 16, "width": 16}, **HALF},
        {"size": 16, "do_normalize": False},
        {"size": {"height": 16, "width": 16}, "do_normalize": True, "rescale_factor": 1 / 127.5, **HALF},
        {"size": {"height": 16, "width": 16}, "do_rescale": False, "image_mean": [123.0] * 3, "image_std": [58.0] * 3},
    ],
)
def test_images_come_as_the_processor_of_transformers_makes_them(about, tmp_path):
    theirs = vit(tmp_path, **about)
    setup = images_setup(tmp_path, weights="default")
    assert setup.experiment.settings.image_size == 16
    state = setup.fresh()
    assert state.fresh == ()
    pixels = torch.randint(0, 256, (16, 16, 3), dtype=torch.uint8)
    read = t.ViTImageProcessor.from_pretrained(tmp_path)
    expected = read(Image.fromarray(pixels.numpy()), return_tensors="pt")["pixel_values"]
    inputs = setup.task.inputs
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (inputs.mean, inputs.std))
    ours = ((pixels.permute(2, 0, 1).float() / 255 - mean) / std)[None].expand(1, 3, 16, 16)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(output_of(state.model.eval(), expected), theirs(expected).logits)


@pytest.mark.parametrize(
    ("about", "size"),
    [
        ({"size": {"shortest_edge": 20}, "do_center_crop": True, "crop_size": {"height": 16, "width": 16}}, 16),
        ({"size": {"shortest_edge": 24}}, 24),
        ({"size": 20}, 20),
        ({}, 16),
    ],
)
def test_the_size_is_the_processors_else_the_configs(about, size, tmp_path):
    vit(tmp_path, **about)
    assert resolve(RunConfig(model=f"hf:{tmp_path}")).settings.image_size == size


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"size": {"height": 16, "width": 20}}, "reads images of 16×20 pixels, and these are square"),
        ({"size": 16, "do_flip_channel_order": True}, "reads blue before green and red"),
        ({"size": 16, "image_mean": "x", "image_std": [1]}, "cannot be read"),
        ({"size": 16, "image_mean": [0.5, 0.5], "image_std": [1, 1]}, "has no statistics of images"),
    ],
)
def test_a_processor_that_prunebench_cannot_follow_is_refused(about, message, tmp_path):
    vit(tmp_path, **about)
    with pytest.raises(ModelError, match=message):
        images_setup(tmp_path, weights="default")


def test_without_a_processor_images_are_normalised_as_imagenets_which_is_told(tmp_path):
    vit(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    notes = images_setup(tmp_path, weights="default").fresh().notes
    assert any(note.startswith("images are normalised as ImageNet's, since") for note in notes)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The cache of Hugging Face without network, in which a function puts a folder under a name."""
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def put(folder, name, revision="0123abc"):
        home = cache / f"models--{name.replace('/', '--')}"
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text(revision)
        shutil.copytree(folder, home / "snapshots" / revision)

    return put


def test_a_name_that_is_in_the_cache_is_used_without_network(cached, tmp_path):
    theirs = saved("roberta", tmp_path / "own")
    cached(tmp_path / "own", "some-one/tiny")
    config = RunConfig(model="hf:some-one/tiny", weights="default", runs_dir=str(tmp_path / "runs"), **SMALL)
    setup = set_up(resolve(config))
    state = setup.fresh()
    assert torch.equal(state.model.classifier.dense.weight, theirs.classifier.dense.weight)
    assert setup.start.tokenizer.get_vocab_size() == len(WORDS)
    contents = setup.experiment.dense.manifest.contents
    assert contents["weights"] == "0123abc"
    assert contents["model"] == resolve(RunConfig(model=f"hf:{tmp_path / 'own'}")).model.folder.digest()


def test_a_file_of_weights_fits_a_model_of_a_folder(tmp_path):
    theirs = saved("gpt2", tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "own.pth")
    state = setup_of(tmp_path, weights=str(tmp_path / "own.pth")).fresh()
    own = state.model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in theirs.state_dict().items())
