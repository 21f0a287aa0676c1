import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.config import (
    LATER,
    RunConfig,
    deciding,
    default,
    field_types,
    merge,
    meta,
    option_name,
    read_toml,
    told,
)
from prunebench.errors import ConfigError
from prunebench.experiment.resolve import resolve

FIELDS = list(field_types())
CONFIGS = st.builds(
    RunConfig,
    model=st.sampled_from([None, "resnet18", "bert"]),
    lr=st.none() | st.floats(1e-6, 1),
    epochs=st.none() | st.integers(1, 99),
    augment=st.none() | st.booleans(),
    include=st.none() | st.lists(st.sampled_from(["a*", "b.?"])).map(tuple),
)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_empty_unless_given_and_says_what_it_is(name):
    assert getattr(RunConfig(), name) is None
    assert meta(name).description.endswith((".", "]"))
    assert (name in deciding("training")) + (name in deciding("pruning")) + (name in deciding("nothing")) == 1


@pytest.mark.parametrize("name", FIELDS)
def test_every_default_is_a_valid_value_of_its_field(name):
    value = default(name)
    assert getattr(RunConfig(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fraction", 0.0),
        ("fraction", 1.0),
        ("fraction", -0.1),
        ("fraction", math.nan),
        ("lr", math.inf),
        ("lr", math.nan),
        ("weight_decay", math.inf),
        ("clip_norm", math.inf),
        ("iterations", 0),
        ("epochs", -1),
        ("epochs", 1.5),
        ("epochs", True),
        ("finetune_epochs", -1),
        ("lr", 0.0),
        ("lr", "fast"),
        ("momentum", 1.0),
        ("seed", -1),
        ("seed", 2**64),
        ("threads", 0),
        ("batch_size", 0),
        ("optimizer", "sdg"),
        ("device", "gpu"),
        ("include", "features.*"),
        ("data_dir", 3),
        ("iterations", 10**6 + 1),
        ("epochs", 2**62),
        ("batch_size", 2**63),
    ],
)
def test_a_value_out_of_bounds_or_of_another_type_is_refused_with_the_name_of_its_option(name, value):
    with pytest.raises(ConfigError, match=f"^{option_name(name)} {re.escape(str(value))}: "):
        RunConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("data_dir", "a\0b", r"--data-dir a\x00b: expected text without a NUL character."),
        ("model", "net\0.py:build", r"--model net\x00.py:build: expected text without a NUL character."),
        ("include", ["a", "\0"], r"--include \x00: expected text without a NUL character."),
        ("batch_size", 10**30, f"--batch-size {10**30}: expected a number of 64 bits."),
        pytest.param("batch_size", 10**5000, "very many digits): expected a number of 64 bits.", id="digits"),
        pytest.param("optimizer", 10**5000, "There are: sgd, adam, adamw.", id="choice"),
        ("mean", (0.5, math.nan), "--mean nan: expected a finite number."),
    ],
)
def test_values_that_no_field_can_have_are_refused(name, value, words):
    with pytest.raises(ConfigError) as caught:
        RunConfig(**{name: value})
    assert str(caught.value).endswith(words)


def test_bounds_are_told_in_words():
    with pytest.raises(ConfigError, match=r"^--fraction 1\.5: expected a number < 1\.0\.$"):
        RunConfig(fraction=1.5)


@pytest.mark.parametrize("name", ["lr", "weight_decay", "clip_norm", "finetune_lr"])
def test_a_number_is_finite(name):
    with pytest.raises(ConfigError, match=r"inf: expected a finite number\.$"):
        RunConfig(**{name: math.inf})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("optimizer", "sdg", "Did you mean 'sgd'? There are: sgd, adam, adamw."),
        ("device", "gpu", "There are: auto, cpu, cuda, mps."),
        ("finetune_schedule", "zzz", "zzz'. There are: constant, cosine, exponential, one-cycle."),
        ("memory_format", 3, "There are: contiguous, channels_last."),
    ],
)
def test_a_choice_that_does_not_exist_lists_those_that_do_and_the_nearest(name, value, words):
    with pytest.raises(ConfigError, match=re.escape(words) + "$"):
        RunConfig(**{name: value})


def test_a_config_is_frozen():
    with pytest.raises(AttributeError):
        RunConfig().seed = 1


def test_a_whole_number_for_a_fraction_gives_the_same_config_as_the_fraction():
    assert msgspec.json.encode(RunConfig(weight_decay=0, lr=1)) == msgspec.json.encode(
        RunConfig(weight_decay=0.0, lr=1.0)
    )


@given(CONFIGS, CONFIGS)
def test_merging_prefers_the_fields_that_are_given(over, under):
    merged = merge(over, under)
    for name in FIELDS:
        first, second = getattr(over, name), getattr(under, name)
        assert getattr(merged, name) == (second if first is None else first)


@given(CONFIGS)
def test_merging_with_an_empty_config_changes_nothing(config):
    assert merge(config, RunConfig()) == merge(RunConfig(), config) == config


def test_toml_keys_are_field_names(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('model = "alexnet"\nfraction = 0.5\naugment = true\nexclude = ["classifier.*"]\n')
    assert read_toml(file) == RunConfig(model="alexnet", fraction=0.5, augment=True, exclude=("classifier.*",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fractoin = 0.1", "there is no setting 'fractoin'. Did you mean 'fraction'?"),
        ("zzz = 1", "there is no setting 'zzz'. `prunebench prune --help` lists them."),
        ("[pruning]\nfraction = 0.1", "there is no setting 'pruning'"),
        ('fraction = "a tenth"', "--fraction a tenth: expected a number, got a text."),
        ("fraction = 2.0", "--fraction 2.0: expected a number < 1.0."),
        ("fraction 0.1", "cannot be read as TOML"),
    ],
)
def test_a_bad_toml_file_is_refused_with_its_name_and_what_to_do(tmp_path, text, message):
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_toml(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lr = " + b"[" * 5000, "it is nested too deeply"),
        (b"lr = " + b"[" * 300 + b"]" * 300, "expected a number, got a list"),
        (b"a" + b".a" * 5000 + b" = 1", "there is no setting 'a'"),
        (b"lr = " + b"9" * 5000, "cannot be read as TOML"),
        (b"lr = 0x" + b"f" * 5000, "--lr (a number of very many digits): "),
        (b"lr = 0." + b"9" * 5000 + b"\n" + b"x" * 20_000 + b" = 1", "there is no setting 'x"),
        (b'data_dir = "\\u0000"', r"--data-dir \x00: expected text without a NUL character."),
        (b'model = "\0"', "cannot be read as TOML"),
        (b'model = "caf\xe9"', "cannot be read as TOML"),
        (b"model = 1979-05-27T07:32:00Z", ""),
        (b"#" * 2**20 + b"#", "a file of more than 1,048,576 bytes is none of settings"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_whatever_a_file_holds_the_error_is_short(content, message, tmp_path):
    file = tmp_path / "run.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        resolve(read_toml(file))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_device_has_no_end_and_is_not_read():
    with pytest.raises(ConfigError, match=r"cannot be read as TOML: .* it is a device, and no plain file"):
        read_toml("/dev/zero")


def test_a_missing_or_binary_toml_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        read_toml(tmp_path / "binary.toml")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        read_toml(tmp_path)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "c.toml").write_text('model = "resnet18"\n', encoding="utf-8-sig")
    assert read_toml(tmp_path / "c.toml").model == "resnet18"


@pytest.mark.parametrize("name", LATER)
def test_a_setting_that_came_later_is_told_as_runs_of_before_have_it_where_it_is_the_default(name):
    assert told({}, name) is told({name: default(name)}, name) is None
    assert told({name: 3}, name) == 3


def test_another_setting_is_told_as_it_was_stored():
    assert (told({"lr": 0.001}, "lr"), told({}, "lr")) == (0.001, None)
