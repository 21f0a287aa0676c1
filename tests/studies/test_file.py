"""A study's file is read, or it is told what is wrong with it."""

from __future__ import annotations

import pytest

from prunebench.errors import ConfigError
from prunebench.studies.file import read_study

SMALL = '[base]\nmodel = "resnet18"\n'


def test_how_to_time_is_a_config_for_every_backend_and_dtype(tmp_path):
    path = tmp_path / "s.toml"
    text = '[efficiency]\nbackends = ["eager", "compile"]\ndtypes = ["fp32", "bf16"]\nbatch_sizes = [2]\n'
    path.write_text(SMALL + text, encoding="utf-8")
    found = read_study(path).timings
    assert [(each.backend, each.dtype) for each in found] == [
        (backend, dtype) for backend in ("eager", "compile") for dtype in ("fp32", "bf16")
    ]
    assert {each.batch_sizes for each in found} == {(2,)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[bas]\n", r"a study has no 'bas'\. Did you mean 'base'\?"),
        ('model = "resnet18"\n', r"a study has no 'model'\..* belongs into \[base\]"),
        ("[base\n", "cannot be read as TOML"),
        ('[base]\nmodle = "x"\n', r"\[base\] has no setting 'modle'\. Did you mean 'model'\?"),
        ("[base]\nfraction = 2.0\n", r"\[base\]: --fraction 2\.0"),
        ("[grid]\nseed = 3\n", r"\[grid\] seed: expected a list of values, such as seed = \[3\]"),
        ("[grid]\nseed = []\n", r"\[grid\] seed: expected a list"),
        ("[grid]\nthreads = [1, 2]\n", r"\[grid\] threads: it decides no result; put it into \[base\]"),
        ('[[exclude]]\nmodl = "x"\n', r"\[exclude\] has no setting 'modl'"),
        ("exclude = 3\n", r"exclude: expected a list: \[\[exclude\]\]"),
        ("exclude = [3]\n", r"exclude: 3 is no table; it is a list of them: \[\[exclude\]\]"),
        ("[efficiency]\nbackends = 3\n", r'backends: expected a list, such as backends = \["eager"\]'),
        ('[efficiency]\ndtypes = "fp32"\n', r'dtypes: expected a list, such as dtypes = \["fp32"\]'),
        ("[base]\nlr = " + "[" * 5000, "it is nested too deeply"),
        ("controls = 3\n", "controls: expected true, false, or a list of models"),
        ("experiments = [3]\n", "3 is neither the name of a config nor a table"),
        ('experiments = ["none.toml"]\n', r"none\.toml: there is no such file"),
        ('[[exclude]]\nseed = "0"\n', r"\[exclude\]: --seed 0: expected a whole number, got a text"),
        ("[[exclude]]\nseed = [0]\n", r"\[exclude\]: --seed .*expected a whole number, got a list"),
        ("[efficiency]\nvariants = 1\n", "has no setting 'variants'. `prunebench efficiency --help` lists them"),
        ("[efficiency]\nbatch_size = [1]\n", r"\[efficiency\] has no setting 'batch_size'. Did you mean 'batch_sizes'"),
        ('[efficiency]\nbackends = ["egaer"]\n', r"\[efficiency\]: .*egaer"),
        (
            '[efficiency]\nbackends = "eager"\n',
            r'\[efficiency\] backends: expected a list, such as backends = \["eager"\]',
        ),
        ('[efficiency]\ndtypes = "bf16"\n', r'\[efficiency\] dtypes: expected a list, such as dtypes = \["fp32"\]'),
        ("[efficiency]\nbackends = []\n", r"\[efficiency\] backends: expected a list"),
        ("[efficiency]\nbackends = {a = 1}\n", r"\[efficiency\] backends: expected a list"),
        ('[efficiency]\nbackend = "eager"\nbackends = ["compile"]\n', r"\[efficiency\] has both backend and backends"),
        (
            '[efficiency]\ndtype = "fp32"\ndtypes = ["bf16"]\n',
            r"\[efficiency\] has both dtype and dtypes; leave one out",
        ),
        ('[efficiency]\nbackend = ["eager"]\n', r"\[efficiency\]: .*eager"),
        ("[efficiency]\nbatch_sizes = 1\n", r"\[efficiency\]: --batch-sizes 1: expected a list, got a whole number"),
        ('[efficiency]\nbatch_sizes = "1"\n', r"\[efficiency\]: --batch-sizes 1: expected a list, got a text"),
    ],
)
def test_a_file_that_is_no_study_is_told_in_a_line(text, message, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as found:
        read_study(path)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "text", ["", 'backend = "eager"', 'backends = ["eager"]', 'dtype = "fp32"', 'dtypes = ["fp32"]']
)
def test_one_way_to_time_may_be_said_in_either_way(text, tmp_path):
    (tmp_path / "s.toml").write_text(f"{SMALL}[efficiency]\n{text}\n", encoding="utf-8")
    (found,) = read_study(tmp_path / "s.toml").timings
    assert (found.backend, found.dtype) == ("eager", "fp32")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        read_study(tmp_path / "none.toml")
