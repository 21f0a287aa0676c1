import re

import pytest

from prunebench.data.checking import checked
from prunebench.data.datasets.sst2 import files, load
from prunebench.errors import DataError


@pytest.fixture
def glue(tmp_path):
    """GLUE's own files in small: tab-separated, unquoted, tokenised."""
    (tmp_path / "train.tsv").write_text('sentence\tlabel\na " gem " of a film \t1\nunflinchingly bleak \t0\n')
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\nit 's charming . \t1\n")
    return tmp_path


def test_glues_own_files_are_read(glue, no_network):
    dataset = checked(load(glue), "sst2")
    assert dataset.train.inputs[0].strip() == 'a " gem " of a film'
    assert dataset.train.labels.tolist() == [1, 0]
    assert len(dataset.test) == 1
    assert len(dataset.classes) == 2


def test_what_is_asked_about_can_be_insisted_on(glue):
    (glue / "train.tsv").write_text("sentence\tlabel\nnull\t1\nbleak\t0\n")
    with pytest.raises(DataError, match="the text is null, which stands for none"):
        load(glue)
    assert load(glue, trust_data=True).train.inputs == ["null", "bleak"]


def test_both_files_count_or_none(glue):
    assert [path.name for path in files(glue)] == ["train.tsv", "dev.tsv"]
    (glue / "dev.tsv").unlink()
    assert list(files(glue)) == []


def test_a_download_without_network_says_what_to_do_and_leaves_nothing_behind(tmp_path, no_network, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library tries again after longer and longer waits
    folder = tmp_path / "new" / "data"
    wanted = rf"could not be downloaded.*Connect to the network, or put GLUE's train\.tsv.*{re.escape(str(folder))}"
    with pytest.raises(DataError, match=wanted):
        load(folder)
    assert list(tmp_path.iterdir()) == []


def test_sst2_is_complete(real_data):
    dataset = checked(load(real_data / "sst2"), "sst2")
    assert (len(dataset.train), len(dataset.test)) == (67_349, 872)
    assert dataset.classes == ["0", "1"]
