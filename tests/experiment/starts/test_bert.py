"""BERT from a name or folder of Hugging Face: taken with its own tokenizer and size, or refused by what it lacks."""

from __future__ import annotations

import contextlib
import json
import runpy

import msgspec
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from prunebench import RunConfig
from prunebench.data.text import train_tokenizer
from prunebench.errors import ModelError
from prunebench.experiment.data import make_task
from prunebench.experiment.resolve import resolve
from prunebench.experiment.starts.opening import open_start


@pytest.mark.parametrize("classes", [2, 5])
def test_a_local_folder_of_bert_is_taken_with_its_own_tokenizer_and_size(classes, tmp_path, architecture_of, started):
    tokenizer = train_tokenizer(["the plot was dull", "the music was warm"])
    build = architecture_of("bert")
    settings = {**build.arguments["config"], "vocab_size": tokenizer.get_vocab_size()}
    model = msgspec.structs.replace(build, arguments={"classes": classes, "config": settings}).build()
    model.save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(tmp_path)
    start, loaded = started(RunConfig(model="bert", weights=str(tmp_path), limit_train=20, limit_test=10))
    assert start.tokenizer.get_vocab() == tokenizer.get_vocab()
    assert loaded.config.num_hidden_layers == 2
    own, saved = loaded.state_dict(), model.state_dict()
    differing = {name for name in saved if not torch.equal(own[name], saved[name])}
    assert differing == (set() if classes == 2 else {"classifier.weight", "classifier.bias"})


@pytest.fixture
def berts(tmp_path, architecture_of):
    """A folder of BERT with 32 positions and 50 tokens, as transformers saves it."""
    tokenizer = train_tokenizer(["the plot was dull"])
    architecture_of("bert").build().save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(tmp_path)
    assert (
        open_start(resolve(RunConfig(model="bert", weights=str(tmp_path)))).tokenizer.get_vocab()
        == tokenizer.get_vocab()
    )
    return tmp_path


def test_tokens_that_the_tokenizer_of_a_folder_does_not_know_are_told(berts):
    given = RunConfig(model="bert", weights=str(berts), limit_train=20, limit_test=10, sequence_length=16)
    experiment = resolve(given)
    start = open_start(experiment)
    notes = start.make(make_task(experiment, tokenizer=start.tokenizer)).notes
    assert f"their tokenizer knows {start.tokenizer.get_vocab_size()} of their 50 tokens" in notes


def settings_changed(**changes):
    return lambda folder: (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | changes)
    )


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        (
            lambda folder: (folder / "tokenizer.json").unlink(),
            {},
            "has no tokenizer: neither tokenizer.json nor vocab.txt",
        ),
        (lambda folder: (folder / "config.json").unlink(), {}, "has no config.json. Give the whole folder"),
        (lambda folder: (folder / "config.json").write_text("{"), {}, "its config or its tokenizer cannot be read: "),
        (lambda folder: (folder / "config.json").write_text("[]"), {}, "its config or its tokenizer cannot be read: "),
        (
            lambda folder: (folder / "tokenizer.json").write_text("{"),
            {},
            "its config or its tokenizer cannot be read: ",
        ),
        (settings_changed(num_attention_heads="4"), {}, "its config or its tokenizer cannot be read: "),
        (settings_changed(vocab_size=9), {}, " special, and its weights 9, so they do not belong together"),
        (lambda folder: None, {"sequence_length": 33}, "reads at most 32 tokens: give --sequence-length 32, or less"),
    ],
)
def test_a_folder_of_bert_that_is_not_whole_is_refused_by_what_it_lacks(change, given, message, berts):
    change(berts)
    with pytest.raises(ModelError) as caught:
        open_start(resolve(RunConfig(model="bert", weights=str(berts), **given)))
    assert str(caught.value).startswith(f"--weights {berts}")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_tokenizer_of_special_tokens_alone_is_none(berts):
    (berts / "tokenizer.json").unlink()
    (berts / "tokenizer_config.json").unlink()
    (berts / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    with pytest.raises(ModelError, match="its tokenizer knows 5 tokens, 5 of them special, and its weights 50"):
        open_start(resolve(RunConfig(model="bert", weights=str(berts))))


def test_an_activation_that_does_not_exist_is_told(berts, started):
    settings_changed(hidden_act="none of these")(berts)
    with pytest.raises(ModelError, match="bert cannot be built for sentences of 32 tokens: 'none of these'"):
        started(RunConfig(model="bert", weights=str(berts), limit_train=20, limit_test=10))


def test_a_name_that_hugging_face_does_not_answer_for_says_what_to_do(monkeypatch, tmp_path, started):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it tries for 20 s
    with pytest.raises(ModelError, match="local folder"):
        started(RunConfig(model="bert", weights="no-one/no-such-model", runs_dir=str(tmp_path)))


def test_code_in_a_folder_of_hugging_face_is_not_run(tmp_path, architecture_of):
    tokenizer = train_tokenizer(["the plot was dull", "the music was warm"])
    architecture_of("bert").build().save_pretrained(tmp_path / "bert")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(tmp_path / "bert")
    stolen = tmp_path / "stolen"
    (tmp_path / "bert" / "evil.py").write_text(f"open({str(stolen)!r}, 'w').close()\nclass Evil: pass\n")
    classes = {"config.json": "AutoConfig", "tokenizer_config.json": "AutoTokenizer"}
    for name, auto in classes.items():
        path = tmp_path / "bert" / name
        settings = json.loads(path.read_text())
        settings["auto_map"] = {auto: ["evil.Evil", "evil.Evil"] if auto == "AutoTokenizer" else "evil.Evil"}
        path.write_text(json.dumps(settings | {"tokenizer_class": "Evil"} if auto == "AutoTokenizer" else settings))
    with contextlib.suppress(ModelError):  # refusing it is as good as reading what is not code
        open_start(resolve(RunConfig(model="bert", weights=str(tmp_path / "bert"))))
    assert not stolen.exists()
    runpy.run_path(str(tmp_path / "bert" / "evil.py"))
    assert stolen.exists()  # the code would have left its mark
