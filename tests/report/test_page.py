"""The page is one file of its own, and what users wrote into runs stays text in it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import hypothesis
import hypothesis.strategies as st
import msgspec
import pytest

from prunebench.report.commands import shortened
from prunebench.report.document import Command, document
from prunebench.report.page import embedded, page
from prunebench.report.sources import gather


class Elements(HTMLParser):
    """Collects elements, and the text inside scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = []
        self.scripts = []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data


def parsed(content):
    found = Elements()
    found.feed(content.decode())
    return found


@pytest.fixture(scope="module")
def found(study):
    """The document of the study and its page."""
    made = document(gather(str(study)))
    return made, page(made)


def test_it_is_smaller_than_6_mb_and_always_the_same(found):
    made, content = found
    assert len(content) < 6_000_000
    assert page(made) == content


def test_the_document_stands_in_it_as_json(found):
    made, content = found
    told = json.loads(parsed(content).scripts[0])
    assert told | {"commands": restored(told["commands"])} == json.loads(msgspec.json.encode(made))


def restored(commands):
    """Commands of the page as `tables.js` restores them."""
    words, found = [], []
    for of in commands:
        instead = of.get("instead")
        words = (
            (of["command"] or "").split(" ")
            if instead is None
            else [instead.get(str(i), w) for i, w in enumerate(words)]
        )
        found.append({"run": of["run"], "command": " ".join(words) or None})
    return found


def test_commands_that_differ_in_a_word_or_in_all_come_back_as_they_were():
    texts = ("a --seed 0 'b  c'", "a --seed 1 'b  c'", None, "a --seed 2", "a --seed 2", "d")
    told = [Command(f"run-{i}", text) for i, text in enumerate(texts)]
    kept = json.loads(msgspec.json.encode(list(shortened(told))))
    ways = [("instead" in of) for of in kept]
    assert ways == [False, True, False, False, True, False]
    assert restored(kept) == json.loads(msgspec.json.encode(told))


def test_nothing_is_loaded_and_no_handler_is_inline(found):
    for tag, attributes in parsed(found[1]).elements:
        assert not {"src", "href", "style"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag


def test_the_policy_forbids_the_network_and_names_the_scripts_by_their_digest(found):
    elements = parsed(found[1]).elements
    (policy,) = (of["content"] for tag, of in elements if of.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}=' 'sha256-[\w+/]{43}='", rules["script-src"])
    assert rules["img-src"] == "data: blob:"


HOSTILE = ("</script>", "<!--<script>", "<img src=x onerror=alert(1)>", "&lt;", "\u2028", "$data ${data}", "'\"`\\")


@hypothesis.settings(max_examples=30)
@hypothesis.given(st.text() | st.lists(st.sampled_from(HOSTILE)).map("".join))
def test_any_text_stays_the_same_text_inside_a_script_element(text):
    inside = embedded(json.dumps({text: text}, ensure_ascii=False))
    assert not re.search("[<>&\u2028\u2029]", inside)
    assert json.loads(inside) == {text: text}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_adds_no_element(tmp_path, pruned, text, found):
    pruned(tmp_path, model=text, dataset=text, notes=(text,))
    made = document(gather(str(tmp_path)), text)
    content = page(made)
    names = [tag for tag, _ in parsed(content).elements]
    assert names == [tag for tag, _ in parsed(found[1]).elements]
    assert json.loads(parsed(content).scripts[0])["groups"][0]["family"] == f"{text} on {text}"
