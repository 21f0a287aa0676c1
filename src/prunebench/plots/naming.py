"""Naming: what pictures, their files and the lines in them are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from prunebench.models.architecture import models
from prunebench.plots.registry import Picture
from prunebench.pruning.registry import methods
from prunebench.results.amounts import AMOUNT, asked, counted, in_file_names
from prunebench.results.curves import AXES, SHOWN, Replicates, axis_title, differing, labels, merged
from prunebench.results.settings import Settings, called

OF = "% of the unpruned model"
"""What every share is of."""


class Subject(NamedTuple):
    """What was pruned, and how; the dataset, with its data where one has several, is empty where it is not known."""

    model: str
    dataset: str
    method: str

    def __str__(self) -> str:
        return f"{self.model}{f' on {self.dataset}' if self.dataset else ''}, {self.method}"


LONGEST = 200
"""Letters of a name of files, at most: file systems take 255, with what is put before and behind it."""


def subject(settings: Settings) -> Subject:
    """The subject of a run; of a reference its short name."""
    dataset = [called(settings.get("dataset") or ""), *([str(settings["data"])] if settings.get("data") else [])]
    return Subject(called(settings.get("model")), " ".join(dataset), str(settings.get("method")))


def amount(settings: Settings, once: bool = False) -> str:
    """`10 % a step`, or `94 % in one step`; `to 90 % sparsity, cubic`; empty where it is not known."""
    return asked(settings, lambda fraction: per_step(fraction, once))


def per_step(fraction: object, once: bool = False) -> str:
    """`10 % a step`, or `94 % in one step`; empty where the fraction is not known."""
    return f"{100 * fraction:.3g} % {'in one' if once else 'a'} step" if isinstance(fraction, float) else ""


def line_names(groups: Sequence[Replicates]) -> list[str]:
    """A name for every line of a picture, by what it differs in."""
    once = [max(len(curve.steps) for curve in group) == 2 for group in groups]
    return _names([group[0].settings for group in groups], once)


def titles(settings: Sequence[Settings]) -> list[str]:
    """A title for every picture that is about one group: its subject, criterion and amount, and more if need be."""
    found = []
    for of in settings:
        parts = [subject(of), called(of.get("criterion") or ""), amount(of)]
        found.append(", ".join(str(part) for part in parts if part))
    for same in {name for name in found if found.count(name) > 1}:
        alike = [i for i, name in enumerate(found) if name == same]
        for i, name in zip(alike, _names([settings[i] for i in alike], [False] * len(alike)), strict=True):
            found[i] += f" ({name})"
    return found


def pooled(groups: Sequence[Sequence[object]]) -> tuple[str, list[str]]:
    """What to add to a title, and to the name of each line, about how many seeds are behind it."""
    counts = [len(group) for group in groups]
    if max(counts) == 1:
        return "", [""] * len(counts)
    if len(set(counts)) == 1:
        return f", n = {counts[0]} seeds", [""] * len(counts)
    return "", [f" (n = {count})" for count in counts]


def axis_label(axis: str, groups: Sequence[Replicates]) -> str:
    """What an axis is a percentage of."""
    if axis in ("left", "units"):
        kinds = {of_nominal(group[0].settings) if axis == "left" else units(group[0].settings) for group in groups}
        how = "nominal" if axis == "left" else "achieved"
        return f"{kinds.pop() if len(kinds) == 1 else 'units'} left, {OF} ({how})"
    if axis == "params":
        with_records = {bool(curve.records) for group in groups for curve in group}
        if with_records == {False}:
            return f"prunable weights left, {OF}"
        return f"parameters{'' if with_records == {True} else ' (of matrices: prunable weights)'} left, {OF}"
    return f"{AXES[axis] if axis in AXES else axis_title(axis)}, {OF}"


def nominal(settings: Settings) -> str:
    """`channels left, % of the unpruned model (nominal)`."""
    return f"{of_nominal(settings)} left, {OF} (nominal)"


def of_nominal(settings: Settings) -> str:
    """`channels`, or `MACs` where these are the target: what the nominal share left is one of."""
    return counted(settings) or units(settings)


def units(settings: Settings) -> str:
    """`channels`, `weights`: what was removed."""
    model, method = str(settings.get("model")), str(settings.get("method"))
    known, how = models.known(model), methods.known(method)
    return how.units[known.reads if known else None] if how else "units"


def slug(*parts: object, axis: str = "left") -> str:
    """The name of a picture's files: `accuracy-resnet18-digits-structured-by-macs`."""
    words = [*parts, *([] if axis == "left" else ["by", axis])]
    return "-".join(called(word) for word in words if str(word)).lower()[:LONGEST]


def slug_of(figure: str, settings: Settings, *more: str) -> str:
    """The same of a picture about one group; a criterion is in it where it is not the method's own, and what was asked
    where that is no fraction alone."""
    method, criterion = str(settings.get("method")), settings.get("criterion")
    usual = how.criterion if (how := methods.known(method)) else None
    return slug(
        figure, *subject(settings), "" if criterion in (None, usual) else criterion, in_file_names(settings), *more
    )


def numbered(pictures: Iterable[Picture]) -> list[Picture]:
    """Pictures with a number behind each name that an earlier one has."""
    found: dict[str, Picture] = {}
    for picture in pictures:
        name, count = picture.name, 1
        while name in found:
            count += 1
            name = f"{picture.name}-{count}"
        found[name] = replace(picture, name=name)
    return list(found.values())


def _names(settings: Sequence[Settings], once: Sequence[bool]) -> list[str]:
    """`l1, 50 % a step`: names made of what differs; `once` tells of each whether all went in one step."""
    several = not {*AMOUNT, "iterations"}.isdisjoint(differing(settings))
    told = [amount(of, several and at_once) for of, at_once in zip(settings, once, strict=True)]
    words = [{**merged(_short(of)), "fraction": text or None} for of, text in zip(settings, told, strict=True)]
    if len(set(found := labels(words))) < len(found):  # such as a/net.py:f and a-net.py:f
        words = [{**merged(of), "fraction": text or None} for of, text in zip(settings, told, strict=True)]
        found = labels(words)
    if not set(SHOWN) & set(differing(words)):
        found = [
            name.removeprefix(f"{of.get('model')} {of.get('method')} ") for name, of in zip(found, words, strict=True)
        ]
    return [
        name.replace(f" {fraction}", f", {fraction}") if fraction else name
        for name, fraction in zip(found, told, strict=True)
    ]


def _short(settings: Settings) -> dict[str, object]:
    """Settings with references by their short names."""
    names = [name for name in ("model", "dataset", "criterion") if settings.get(name) is not None]
    return {**settings, **{name: called(settings[name]) for name in names}}
