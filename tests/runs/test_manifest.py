"""run.json is exactly what was written, or it is refused."""

import json
import random
import re

import msgspec
import pytest

from prunebench.errors import RunError
from prunebench.records import FORMAT, Environment
from prunebench.runs.index import identify
from prunebench.runs.manifest import Manifest, decode, encode, read_manifest

DIGEST = "0" * 64
KNOWN = identify("prune", {"model": "tinĳ", "method": "structured", "lr": 1e-3, "exclude": ["a"]}, {}, {"data": DIGEST})
LISTED = {"environment.json": DIGEST, "steps/000/record.json": DIGEST, "steps/1000/model.safetensors": DIGEST}


def of(files, **changes):
    return msgspec.structs.replace(KNOWN, files=files, **changes)


@pytest.fixture
def path(tmp_path):
    """A run.json that is intact."""
    (tmp_path / "run.json").write_bytes(encode(of(LISTED).sealed()))
    return tmp_path / "run.json"


def test_what_is_read_is_what_was_written(path):
    manifest = read_manifest(path)
    assert msgspec.structs.replace(manifest, checksum="") == of(LISTED)
    assert (manifest.files, manifest.format) == (LISTED, FORMAT)
    assert manifest.sealed() == manifest


def test_the_seal_depends_on_what_is_sealed_alone():
    manifest = of(LISTED)
    turned = of(dict(reversed(LISTED.items())), checksum="x")
    assert turned.sealed().checksum == manifest.sealed().checksum
    assert of({}).sealed().checksum != manifest.sealed().checksum


def test_a_flipped_bit_anywhere_is_noticed(path):
    whole, draw = path.read_bytes(), random.Random(0)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(RunError, match=r"run\.json (is damaged|has format).*(--fresh|update prunebench)"):
            read_manifest(path)
    path.write_bytes(whole)
    assert read_manifest(path).files == LISTED


def test_a_file_that_ends_early_is_noticed_wherever_it_ends(path):
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(RunError, match=r"run\.json is damaged: .*--fresh"):
            read_manifest(path)


@pytest.mark.parametrize("content", [b"null", b"[]", b'"format"', b"\xff\xfe", b'{"format": "\xff"}', b"[" * 100_000])
def test_bytes_that_are_no_run_are_refused(content, path):
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        read_manifest(path)


def test_a_file_that_is_not_there_or_a_folder_cannot_be_read(path):
    for place, reason in ((path.parent / "none.json", "No such file"), (path.parent, "Is a directory")):
        with pytest.raises(RunError, match=f"{re.escape(str(place))} cannot be read: {reason}"):
            decode(place, Manifest)


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        (FORMAT + 1, "of a newer version of prunebench; this one reads format 3: update prunebench."),
        (1, "of an older version of prunebench; this one reads format 3: "),
        (None, "of another version of prunebench"),
        ("3", "of another version of prunebench"),
    ],
)
def test_another_format_is_refused_as_such(version, hint, path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": version}))
    with pytest.raises(RunError, match=re.escape(f"{path} has format {version}, {hint}")):
        read_manifest(path)


@pytest.mark.parametrize(
    "name",
    [
        *("../record.json", "/etc/passwd", "steps/000/../../../../record.json", "steps/000/..", "steps/000/.hidden"),
        *("steps/../000/record.json", "steps/000/sub/record.json", "steps/x/record.json", "x/record.json", "run.json"),
        *("x/unit-costs.json", "unit-costs.json/x", "unit-costs.jsonl", "steps/unit-costs.json"),
        *("steps//record.json", "steps/000/", "environment.json\n", "steps/000/a\\b", "C:/x", f"steps/{'9' * 5000}/a"),
    ],
)
def test_a_sealed_manifest_names_no_file_outside_the_folders_of_steps(name, path):
    path.write_bytes(encode(of({name: DIGEST}).sealed()))
    with pytest.raises(RunError, match=r"run\.json is damaged: .*files"):
        read_manifest(path)


@pytest.mark.parametrize("field", ["key", "source"])
@pytest.mark.parametrize("name", ["../../x", "/etc", "a/b", "..", ".", "", "a\\b", "C:", "x\n"])
def test_a_sealed_manifest_names_no_run_by_a_path(field, name, path):
    path.write_bytes(encode(of({}, **{field: name}).sealed()))
    with pytest.raises(RunError, match=rf"run\.json is damaged: .*\$\.{field}"):
        read_manifest(path)


def test_a_record_is_indented_and_comes_back(tmp_path, here):
    data = encode(here)
    assert data.startswith(b'{\n "format"')
    assert data.endswith(b"}\n")
    (tmp_path / "environment.json").write_bytes(data)
    assert decode(tmp_path / "environment.json", Environment) == here
