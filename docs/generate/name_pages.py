"""Pages and tables of all that is registered: names, what they are, and what the file of each says of it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from prunebench.config import option_name
from prunebench.data.dataset import datasets
from prunebench.latency.backends import backends
from prunebench.models.architecture import models
from prunebench.pruning.amounts import schedules
from prunebench.pruning.granularity import patterns
from prunebench.pruning.registry import criteria, methods, needs, of_samples
from prunebench.pruning.shares import scopes
from prunebench.registry import LIBRARIES, Registry
from prunebench.studies.executors import executors
from prunebench.training.policies import policies
from words import cell, code, definitions, paragraphs, table

REGISTRIES: Mapping[str, Registry[Any]] = {
    "models": models,
    "datasets": datasets,
    "methods": methods,
    "criteria": criteria,
    "scopes": scopes,
    "patterns": patterns,
    "schedules": schedules,
    "policies": policies,
    "backends": backends,
    "executors": executors,
}


OF_CRITERIA = """\
What scores lowest goes; a unit scores the sum of its weights, where nothing else is said. w is a weight, x what it is
multiplied with, g the gradient of the mean loss by it, and a what a unit puts out, of the calibration samples. What
criteria came to on one model is on [a page of its own](../criteria.md).
"""


@cache
def files(kind: str) -> dict[str, list[str]]:
    """The docstring of each file of a registry's folder → the names that are registered in it."""
    registry = REGISTRIES[kind]
    names = [*registry.names()]
    package = importlib.import_module(registry._package)
    found: dict[str, list[str]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        tree = ast.parse(inspect.getsource(importlib.import_module(f"{registry._package}.{module.name}")))
        if here := [name for name in names if name in registered(tree)]:
            found[ast.get_docstring(tree) or ""] = here
    return found


def registered(tree: ast.Module) -> set[str]:
    """The names that a file registers: the first arguments of its calls, and keys of what it walks over."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    first = [node.args[0] for node in calls]
    walked = [node.iter for node in ast.walk(tree) if isinstance(node, ast.For)]
    parts = [part for each in walked for part in ast.walk(each)]
    return {part.value for part in (*first, *parts) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def aliases(kind: str, name: str) -> str:
    """Other names that an entry goes by, as Markdown; empty where there are none."""
    others = [code(alias) for alias, of in REGISTRIES[kind].aliases().items() if of == name]
    return f"also called {', '.join(others)}" if others else ""


def summary(kind: str) -> str:
    """A table of a registry: names, and a line of each."""
    registry = REGISTRIES[kind]
    rows = []
    for name in registry.names():
        more = f" ({others})" if (others := aliases(kind, name)) else ""
        rows.append([code(name), cell(registry.get(name).summary) + more])
    rows += [[code(f"{library}:NAME"), cell(LIBRARIES[registry.kind][library])] for library in registry.libraries()]
    return table(["name", "what it is"], rows)


def explained(kind: str, facts: Callable[[str], list[str]] = lambda name: []) -> str:
    """A section for every file of a registry: its names, what is known of each, and the file's docstring."""
    lines = []
    for docstring, names in files(kind).items():
        lines.append(f"### {', '.join(map(code, names))} {{ #{anchor(kind, names[0])} }}\n")
        lines += [f'<span id="{anchor(kind, name)}"></span>\n' for name in names[1:]]
        for name in names:
            known = [each for each in (aliases(kind, name), *facts(name)) if each]
            lines += [f"{code(name)}: {'; '.join(known)}.\n"] if known else []
        lines.append(paragraphs(docstring) + "\n")
    return "\n".join(lines)


def anchor(kind: str, name: str) -> str:
    """Where on its page an entry is."""
    return f"{kind}-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}"


def criteria_page() -> str:
    """Every criterion: what goes first by it, of what it scores, and what its file says."""
    rows = [[link("criteria", name), cell(criteria.get(name).summary), *_fits(name)] for name in criteria.names()]
    head = ["name", "what goes first", "of", "asks data for"]
    return f"# Every criterion\n\n{OF_CRITERIA}\n{table(head, rows)}\n## What each does\n\n{explained('criteria')}"


def link(kind: str, name: str) -> str:
    """A name as a link to its section on the same page."""
    return f"[{code(name)}](#{anchor(kind, name)})"


def _fits(name: str) -> list[str]:
    """What a criterion can choose among, and what it asks for of training data."""
    rankings = {each: methods.get(each).fitting(criteria.get(name)) for each in ("unstructured", "structured", "depth")}
    words = {"unstructured": "weights", "structured": "units", "depth": "blocks"}
    asked = of_samples(needs(*(ranking for ranking in rankings.values() if ranking is not None)))
    return [", ".join(words[each] for each, ranking in rankings.items() if ranking), ", ".join(map(code, asked))]


def choices_page() -> str:
    """Scopes, patterns, schedules and ways of retraining: what the file of each says."""
    titles = {"scopes": "Scopes", "patterns": "Patterns", "schedules": "Schedules", "policies": "Ways of retraining"}
    parts = [f"## {title}\n\n{explained(kind)}" for kind, title in titles.items()]
    return "# Scopes, patterns, schedules, retraining\n\n" + "\n".join(parts)


def models_page() -> str:
    """Models and datasets by name, and the settings that suit them."""
    tables = {"models": "Models", "datasets": "Datasets"}
    parts = [f"## {title}\n\n{summary(kind)}\n{_suiting(kind)}" for kind, title in tables.items()]
    parts += [f"## What datasets are\n\n{explained('datasets')}"]
    return "# Models and datasets by name\n\n" + "\n".join(parts)


def _suiting(kind: str) -> str:
    """The settings that suit each entry, where none are given."""
    entries = {name: REGISTRIES[kind].get(name) for name in REGISTRIES[kind].names()}
    pairs = []
    for name, entry in entries.items():
        pairs += [(code(name), _settings(entry.defaults))] if entry.defaults else []
        published = getattr(entry, "pretrained", None)
        pairs += [(f"{code(name)} from published weights", _settings(published))] if published else []
    return f"### Settings of {kind}\n\nWhere a command gives none.\n\n{definitions(pairs)}"


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(code(f"{option_name(name)} {value}") for name, value in values.items())
