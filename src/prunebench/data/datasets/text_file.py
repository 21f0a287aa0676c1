"""Sentences from train and test files: .tsv, .csv or .jsonl, plain or .gz, with columns of text and a label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prunebench.data.columns import Columns, Sample, choose, sample_of
from prunebench.data.dataset import Dataset, Split, register
from prunebench.data.decoding import NEWLINE, shortened
from prunebench.data.encodings import once
from prunebench.data.folders import check_folder
from prunebench.data.labels import Labelled, alike, class_names, label_of, questions
from prunebench.data.rows import DELIMITERS, SUFFIXES, Row, Table, kind_of, read
from prunebench.errors import DataError
from prunebench.runs.digests import listed

TRAIN, TEST = ("train",), ("test", "dev", "val")

LISTED = 10
"""Lines that a message names, at most."""

LOST = "\ufffd"
"""What programs write for letters that they could not read."""

HEADINGS = {"label", "labels", "class", "category", "target", "sentiment"}
"""Labels of a first row that is a header."""


def files(data_dir: Path) -> Iterable[Path]:
    """The train and the test file."""
    return [_find(data_dir, TRAIN)[0], _find(data_dir, TEST)[0]]


@register(
    "text-file",
    "your sentences: train and test as .tsv, .csv or .jsonl (.gz) in DATA_DIR",
    reads="text",
    files=files,
)
def load(
    data_dir: Path,
    *,
    text_column: Sequence[str] = (),
    label_column: str | None = None,
    header: bool = True,
    encoding: str | None = None,
    trust_data: bool = False,
) -> Dataset:
    """`train.*` and `test.*` (or `dev.*`, `val.*`); by default with a header: `text` or `sentence`, and `label`.

    Labels are names or whole numbers; classes are the labels of the training file in order.

    Args:
        data_dir: where the files are.
        text_column: names, or numbers from 1, of the columns that are joined to a text.
        label_column: the name or number of the label's.
        header: whether the first row names the columns.
        encoding: of both files, as Python calls it; None is UTF-8.
        trust_data: take what is asked about as it is, such as classes of a single sample.

    Raises:
        DataError: a file or column is missing, a row is no sample, test has a label that train has not, or
            something is unlikely to be meant.
        ConfigError: there is no such encoding, or a .jsonl is said to have no header.
    """
    (train, *other_trains), (test, *other_tests) = _find(data_dir, TRAIN), _find(data_dir, TEST)
    notes = [
        f"{', '.join(path.name for path in others)} beside {used.name} is not read"
        for used, others in ((train, other_trains), (test, other_tests))
        if others
    ]
    if not test.name.startswith(TEST[0]):
        notes.append(f"the test set is {test.name}")
    labelled = [path.name for path in other_tests if path.name.partition(".")[0] != test.name.partition(".")[0]]
    advice = f" To test on {labelled[0]} beside it, move {test.name} elsewhere." if labelled else ""
    how = Reading(tuple(text_column), label_column, header, encoding, trust_data, advice)
    return read_pair(train, test, how=how, notes=notes)


@dataclass(frozen=True)
class Reading:
    """How two files are read; `load` says what each is. `advice` is added where the test file's columns are missing."""

    text_column: tuple[str, ...] = ()
    label_column: str | None = None
    header: bool = True
    encoding: str | None = None
    trust: bool = False
    advice: str = ""


def read_pair(train: Path, test: Path, *, how: Reading | None = None, notes: Iterable[str] = ()) -> Dataset:
    """A Dataset of two files of sentences and labels; `notes` go before those of what was decided here."""
    how = how or Reading()
    told = [*notes]
    decided: dict[str, list[str]] = defaultdict(list)
    names: list[str] | None = None
    found: list[list[Sample]] = []
    for part, path in (("train", train), ("test", test)):
        table = read(path, header=how.header, encoding=how.encoding, trust=how.trust)
        if not table.rows:
            raise DataError(f"{path} holds no rows: the {part} split is empty.")
        if table.is_json:  # without objects there are no columns to choose from
            _refuse(path, [Sample(row.line, fault=row.fault) for row in table.rows if row.fault])
        told += [f"taken on trust: {table.trusted}"] if table.trusted else []
        columns = choose(table, how.text_column, how.label_column, how.advice if part == "test" else "")
        names = _same(names, columns.named(table), table, how)
        samples = [sample_of(row, columns, how.trust) for row in table.rows]
        _refuse(path, [sample for sample in samples if sample.fault])
        doubts = [*_doubts(table, columns, samples), *(questions(_labelled(samples)) if part == "train" else ())]
        told += [_asked(path, line, doubt, how.trust) for line, doubt in doubts]
        for what in _decided(table, columns, samples):
            decided[what].append(path.name)
        found.append(samples)
    told += [f"{', '.join(dict.fromkeys(paths))}: {what}" for what, paths in decided.items()]
    classes = class_names(_labelled(found[0]))
    place = {name: i for i, name in enumerate(classes)}
    _check_known(train, test, found[1], place)
    splits = [Split([each.text for each in part], [place[each.label] for each in part]) for part in found]
    return Dataset(splits[0], splits[1], classes, notes=tuple(told))


def _find(data_dir: Path, stems: Sequence[str]) -> list[Path]:
    """The file that is read, and after it those that could be read instead."""
    paths = [data_dir / (stem + suffix) for stem in stems for suffix in SUFFIXES]
    if found := [path for path in paths if path.is_file()]:
        return found
    check_folder(data_dir)
    wanted = " or ".join(f"{stem}{kind}" for stem in stems[:1] for kind in SUFFIXES if not kind.endswith(".gz"))
    there = sorted(path.name for path in data_dir.iterdir())
    named = {stem + suffix for stem in stems for suffix in SUFFIXES}
    if same := [name for name in there if name.lower() in named]:
        raise DataError(f"{data_dir} has no {wanted}; it has {same[0]}: rename that to {same[0].lower()}.")
    near = [name for name in there if name.lower().startswith(tuple(stems))]
    advice = (
        f"it has {listed(near)}: convert or rename that" if near else "point --data-dir at the folder that holds it"
    )
    raise DataError(f"{data_dir} has no {wanted}; {advice}.")


def _labelled(samples: Sequence[Sample]) -> list[Labelled]:
    return [Labelled(sample.label, sample.line) for sample in samples]


def _refuse(path: Path, faulty: Sequence[Sample]) -> None:
    """Raise DataError for the first of the rows that are no samples, naming the lines of the others."""
    if faulty:
        first, *others = faulty
        rest = f" Other rows at fault: {_lines(each.line for each in others)}." if others else ""
        raise DataError(f"{path}:{first.line}: {first.fault}{rest}")


def _lines(numbers: Iterable[int]) -> str:
    listed = [*numbers]
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return f"line{'s' if len(listed) > 1 else ''} {', '.join(map(str, listed[:LISTED]))}{more}"


def _same(before: list[str] | None, now: list[str], table: Table, how: Reading) -> list[str]:
    """The names of the columns, which a number must mean in both files alike."""
    if before is not None and how.header and (how.text_column or how.label_column) and before != now:
        raise DataError(
            f"{table.path}:{table.line}: the columns that were asked for are {', '.join(now)} here, and "
            f"{', '.join(before)} in the training file. Give their names, or the same header to both; if the first row "
            f"of each is a sample, give --no-header."
        )
    return now


def _check_known(train: Path, test: Path, samples: Sequence[Sample], place: dict[str, int]) -> None:
    """Raise DataError where test data has labels that training data has not."""
    strange = [sample for sample in samples if sample.label not in place]
    if strange:
        unknown = sorted({sample.label for sample in strange})
        unlabelled = " A label of -1 marks samples without one." if unknown == ["-1"] else ""
        raise DataError(
            f"{test} has labels that {train.name} has not: {', '.join(map(_bare, unknown[:5]))}. "
            f"See {_lines(sample.line for sample in strange)}.{unlabelled}{_meant(unknown, place)}"
        )


def _meant(unknown: Sequence[str], known: Iterable[str]) -> str:
    """Which labels of test data differ from those of training data only in how they are written, in words."""
    classes = list(known)
    pairs = [pair for pair in alike([*classes, *unknown]) if pair[0] in unknown and pair[1] in classes]
    told = [f"{shortened(name)} differs from {shortened(other)} only in how it is written" for name, other in pairs[:3]]
    return f" {' and '.join(told)}: write both alike." if told else ""


def _bare(name: str) -> str:
    return shortened(name)[1:-1] or "one without a name"


def _asked(path: Path, line: int, doubt: str, trust: bool) -> str:
    """A note of what was taken on trust.

    Raises:
        DataError: it was not.
    """
    if trust:
        return f"taken on trust: {path.name}:{line}: {doubt}"
    raise DataError(
        f"{path}:{line}: {doubt}. If that is meant, insist with --trust-data; else mend the file, or say which column "
        f"is the label with --label-column."
    )


def _doubts(table: Table, columns: Columns, samples: Sequence[Sample]) -> Iterable[tuple[int, str]]:
    """What is unlikely of rows, each with its line."""
    first = samples[0]
    alone = sum(sample.label == first.label for sample in samples) == 1
    if not table.headed and first.label.casefold() in HEADINGS and alone:
        yield first.line, f"the label {first.label!r} looks like a header's: leave out --no-header"
    if table.is_json:
        return
    assert isinstance(columns.label, int)
    if table.headed:
        for row in table.rows:
            if [str(field).strip() for field in row.fields] == [*table.columns]:
                yield row.line, "this row repeats the header"
                break
        name, _ = label_of(table.columns[columns.label])
        if count := sum(sample.label == name for sample in samples):
            rows = f"{count} {'row' if count == 1 else 'rows'} below"
            yield (
                table.line,
                f"the first row names the columns, but its {name!r} is the label of {rows}, so it may be a sample "
                f"itself: then give --no-header",
            )
    known = {sample.label for sample, row in zip(samples, table.rows, strict=True) if row.line == row.last}
    for row in table.rows:
        if row.last > row.line and _swallows(row, table, columns, lambda text: label_of(text)[0] in known):
            yield row.line, f"a quote opens in this row and closes in line {row.last}, past lines that look like rows"
            break


def _swallows(row: Row, table: Table, columns: Columns, is_label: Callable[[str], bool]) -> bool:
    """Whether a text over several lines holds one that would be a row by itself."""
    mark, at = DELIMITERS[kind_of(table.path)], columns.label
    assert isinstance(at, int)
    from_end = at - len(table.columns)
    for field in row.fields:
        for line in NEWLINE.split(field)[:-1]:
            parts = line.split(mark)
            ends = (parts[at], parts[from_end]) if len(parts) >= len(table.columns) else ()
            if any(part == part.strip() and is_label(part.strip('"')) for part in ends):
                return True
    return False


def _decided(table: Table, columns: Columns, samples: Sequence[Sample]) -> Iterable[str]:
    """What was decided by a rule, or converted, of a file."""
    used = columns.named(table)
    if len(columns.text) > 1:
        yield f"columns {', '.join(map(_bare, used[:-1]))} are joined to a text"
    if unread := [column for column in table.columns if column not in used]:
        yield f"columns that are not read: {', '.join(map(_bare, unread[:LISTED]))}"
    converted = [what for sample in samples for what in sample.converted]
    if count := converted.count("point"):
        yield f"labels written with a point, such as 1.0, that are read as whole numbers: {count}"
    if count := converted.count("number"):
        yield f"numbers that are read as texts: {count}"
    if count := converted.count("no text"):
        yield f"texts that are empty or stand for none, taken on trust: {count}"
    if count := converted.count("no label"):
        yield f"labels that stand for none, taken on trust: {count}"
    yield from _garbled([sample.text for sample in samples])
    parts = {"texts": [each.text for each in samples], "labels": [each.label for each in samples]}
    if kind_of(table.path) == ".tsv" and (quoted := [what for what, of in parts.items() if _are_quoted(of)]):
        yield f"quotes around {' and '.join(quoted)} are part of them, since a .tsv is read without quoting"


def _garbled(texts: Sequence[str]) -> Iterable[str]:
    """What of texts was lost or garbled before they were written to their file."""
    if lost := sum(LOST in text for text in texts):
        yield f"texts in which letters were lost when they were converted (U+FFFD stands for each): {lost}"
    if twice := [text for text in texts if once(text) != text]:
        was = f"{shortened(twice[0])}, which was {shortened(once(twice[0]))}"
        yield f"texts that are UTF-8 twice, as when it was read as another encoding once: {len(twice)}, such as {was}"


def _are_quoted(texts: Sequence[str]) -> bool:
    """Whether most texts stand in double quotes."""
    return 2 * sum(len(text) > 1 and text[0] == text[-1] == '"' for text in texts) > len(texts)
