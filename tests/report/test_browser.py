"""The page in headless Chromium: it opens without an error, fetches nothing, and does what is clicked."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from PIL import Image

from prunebench.plots.themes import THEMES
from prunebench.report.document import document
from prunebench.report.page import page
from prunebench.report.sources import gather

HOSTILE = "</script><img src=x onerror=alert(1)><b>&lt;%{y}$x$"


@pytest.fixture(scope="module")
def place(study, tmp_path_factory, pruned):
    """The page of the study, to which one run of a model with a hostile name was added."""
    root = tmp_path_factory.mktemp("hostile") / "runs"
    shutil.copytree(study, root)
    pruned(root, model=HOSTILE, dataset=HOSTILE, notes=(HOSTILE,))
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(page(document(gather(str(root)), HOSTILE)))
    return path


@pytest.fixture
def opened(chromium, place):
    """The page, opened anew in light colours."""
    emulate(chromium, "light")
    for log in ("browser", "performance"):
        chromium.get_log(log)
    chromium.get(place.as_uri())
    return chromium


def emulate(driver, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def choose(driver, control, value):
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element("id", control)).select_by_value(value)


def lines(driver, plot="curves"):
    """The lines of a plot as Plotly holds them: group → x, y, dash."""
    found = driver.execute_script(
        "return document.getElementById(arguments[0]).data.filter((trace) => trace.meta && trace.meta.group)"
        ".map((trace) => [trace.meta.group, trace.meta.when, trace.x, trace.y, trace.line.dash])",
        plot,
    )
    return {(group, when): (x, y, dash) for group, when, x, y, dash in found}


def column(driver, number):
    rows = driver.find_elements("css selector", "#table tbody tr")
    return [row.find_elements("css selector", "td")[number].text for row in rows]


def colour(driver, element, what):
    return driver.find_element("css selector", element).value_of_css_property(what)


def test_it_opens_without_an_error_and_fetches_nothing(opened):
    import json

    assert opened.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert opened.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_the_policy_stops_what_would_fetch_or_run(opened):
    stopped = opened.execute_async_script(
        """const done = arguments[0], found = [];
        document.addEventListener("securitypolicyviolation", (event) => {
          found.push(event.effectiveDirective);
          if (found.length === 2) done(found.sort());
        });
        fetch("https://example.invalid/").catch(() => {});
        const script = document.createElement("script");
        script.textContent = "window.hostile = 1";
        document.body.append(script);"""
    )
    assert stopped == ["connect-src", "script-src-elem"]
    assert opened.execute_script("return window.hostile") is None


def test_a_hostile_name_is_text_everywhere(opened):
    from selenium.common.exceptions import NoAlertPresentException

    choose(opened, "family", f"{HOSTILE} on {HOSTILE}")
    with pytest.raises(NoAlertPresentException):
        _ = opened.switch_to.alert.text
    assert opened.find_elements("css selector", "img, #about b, #remarks b, #groups b, td b") == []
    assert opened.find_element("tag name", "h1").text == HOSTILE
    assert HOSTILE in opened.find_element("id", "remarks").text
    assert HOSTILE in opened.find_element("id", "groups").text
    shown = opened.execute_script("return document.getElementById('curves').data.at(-1).hovertext[0]")
    assert "<img" not in shown
    assert "&lt;img" in shown


def test_hovering_shows_the_figures_of_a_step(opened):
    from selenium.webdriver import ActionChains

    point = opened.find_elements("css selector", "#curves .scatterlayer .points path")[2]
    ActionChains(opened).move_to_element(point).perform()
    deadline = time.monotonic() + 5
    while not (found := opened.find_elements("css selector", "#curves .hovertext")) and time.monotonic() < deadline:
        time.sleep(0.05)
    text = found[0].text
    assert "structured l2, step 2, n = 3" in text
    assert "after fine-tuning 0.8389 (0.8251–0.8527)" in text
    assert "parameters left 66 % (6.66 k)" in text
    assert "measured latency left, batch 4 50 % (5.00 ms, speed-up 2.00 × (2.00–2.00))" in text


def test_lines_are_means_over_what_is_left_and_controls_are_dashed(opened):
    found = lines(opened)
    x, y, dash = found["structured l2", "after"]
    assert x == pytest.approx([100, 90, 81])
    assert y == pytest.approx([342 / 360, 333 / 360, 302 / 360])
    assert dash == "solid"
    x, y, dash = found["dense, same epochs", "after"]
    assert x == pytest.approx([100, 90, 81])  # where the same steps of a pruned group stand
    assert dash == "dash"
    assert opened.execute_script(
        "const [a, b] = document.getElementById('curves')._fullLayout.xaxis.range; return a > b"
    )


def test_a_control_stands_beside_the_shown_group_of_most_steps_and_does_not_leap(chromium, pruned, tmp_path):
    for seed in range(2):
        pruned(tmp_path / "runs", seed=seed, steps=2, fraction=0.5)
        pruned(tmp_path / "runs", seed=seed, method="unstructured", criterion="l1")
        pruned(tmp_path / "runs", seed=seed, method="none")
    (tmp_path / "page.html").write_bytes(page(document(gather(str(tmp_path / "runs")), "steps")))
    chromium.get((tmp_path / "page.html").as_uri())
    assert lines(chromium)["dense, same epochs", "after"][0] == pytest.approx([100, 90, 81])
    chromium.find_elements("css selector", "#groups input")[1].click()
    assert {group for group, _ in lines(chromium)} == {"structured l2 0.5", "dense, same epochs"}
    assert lines(chromium)["dense, same epochs", "after"][0] == pytest.approx([100, 50])


def test_another_axis_moves_the_points(opened):
    choose(opened, "axis", "params")
    assert lines(opened)["structured l2", "after"][0] == pytest.approx([100, 8200 / 101, 6661 / 101])
    choose(opened, "axis", "latency@4")
    assert lines(opened)["structured l2", "after"][0] == pytest.approx([100, 80, 50])
    assert lines(opened)["unstructured l1", "after"][0] == []
    opened.find_element("id", "log").click()
    assert opened.execute_script("return document.getElementById('curves')._fullLayout.xaxis.type") == "log"


def test_a_box_takes_a_group_away_and_brings_it_back(opened):
    boxes = opened.find_elements("css selector", "#groups input")
    assert len(lines(opened)) == len(boxes) == 3
    boxes[0].click()
    assert {group for group, _ in lines(opened)} == {"unstructured l1", "dense, same epochs"}
    assert "structured l2" not in column(opened, 0)
    opened.find_element("id", "none").click()
    assert lines(opened) == {}
    opened.find_element("id", "all").click()
    assert len(lines(opened)) == 3


def test_accuracy_before_fine_tuning_is_shown_instead_or_beside(opened):
    choose(opened, "when", "before")
    assert lines(opened)["structured l2", "before"][1] == pytest.approx([200 / 360, 199 / 360, 198 / 360])
    choose(opened, "when", "both")
    assert {when for _, when in lines(opened)} == {"before", "after"}


def test_accuracy_is_drawn_against_milliseconds_where_it_was_timed(opened):
    (((group, _), (x, y, _)),) = lines(opened, "times").items()
    assert (group, x) == ("structured l2", [10, 8, 5])
    assert y == pytest.approx([342 / 360, 333 / 360, 302 / 360])
    choose(opened, "family", f"{HOSTILE} on {HOSTILE}")
    assert not opened.find_element("id", "timed").is_displayed()


def test_a_click_on_a_head_sorts_by_it_and_another_one_the_other_way_round(opened):
    def head():
        return opened.find_element("css selector", "[data-column=after]")

    head().click()
    scores = [float(text.split()[0]) for text in column(opened, 3)]
    assert len(scores) == 9
    assert scores == sorted(scores)
    assert head().find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    head().send_keys("\ue007")  # Enter, on the head that has kept the focus
    assert [float(text.split()[0]) for text in column(opened, 3)] == scores[::-1]
    assert head().find_element("xpath", "..").get_attribute("aria-sort") == "descending"
    opened.find_element("css selector", "[data-column=ms]").click()
    assert [text for text in column(opened, 7) if text] == ["5.00", "8.00", "10.0"]
    assert column(opened, 7)[3:] == [""] * 6


def test_colours_follow_the_system_and_the_button(opened):
    light = colour(opened, "body", "background-color"), ink(opened)
    opened.find_element("id", "theme").click()
    dark = colour(opened, "body", "background-color"), ink(opened)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    opened.find_element("id", "theme").click()
    assert (colour(opened, "body", "background-color"), ink(opened)) == light
    emulate(opened, "dark")
    opened.refresh()
    assert (colour(opened, "body", "background-color"), ink(opened)) == dark


def ink(driver):
    return driver.execute_script("return document.getElementById('curves')._fullLayout.font.color")


def test_lines_have_the_colours_of_the_theme_and_so_have_their_swatches(opened):
    def drawn():
        return opened.execute_script(
            "const [line] = document.getElementById('curves').data.filter((trace) => trace.meta.group);"
            "const swatch = document.querySelector('#groups .swatch path');"
            "return [line.line.color, getComputedStyle(swatch).stroke]"
        )

    for theme in ("light", "dark"):
        first = THEMES[theme].lines[0]
        rgb = ", ".join(str(int(first[at : at + 2], 16)) for at in (1, 3, 5))
        assert drawn() == [f"rgb({rgb})"] * 2
        opened.find_element("id", "theme").click()


def test_layers_are_drawn_before_and_after_the_last_step(opened):
    def row():
        cells = opened.find_elements("css selector", "#layers tbody td")
        bars = opened.find_elements("css selector", "#layers .bar, #layers .bar span")
        return [cell.text for cell in cells], [bar.rect["width"] for bar in bars]

    told, (whole, left) = row()
    assert told == ["conv1", "100 → 81", "10 k → 6561", "65.6 %"]
    assert left / (whole - 2) == pytest.approx(0.81, abs=0.01)
    assert "After step 2, means over 3 seeds" in opened.find_element("id", "layers-caption").text
    choose(opened, "layers-of", "2")
    assert row()[0] == ["conv1", "10 k → 6561", "65.6 %"]
    choose(opened, "family", f"{HOSTILE} on {HOSTILE}")
    assert "seeds" not in opened.find_element("id", "layers-caption").text
    assert len(opened.find_elements("css selector", "#layers-of option")) == 1


@pytest.mark.parametrize("width", [1280, 400])
def test_a_picture_of_it_shows_the_curves_and_nothing_sticks_out(opened, tmp_path, width):
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    try:
        opened.execute_script("document.getElementById('curves').scrollIntoView()")
        opened.execute_async_script("setTimeout(arguments[0], 300)")  # Plotly redraws a moment after a resize
        assert (
            opened.execute_script("const root = document.documentElement; return root.scrollWidth - root.clientWidth")
            == 0
        )
        assert opened.save_screenshot(str(tmp_path / "page.png"))
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).reshape(-1, 3)
    for line in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (np.abs(pixels.astype(int) - line).max(axis=1) < 8).sum() > 50


def test_one_seed_says_that_no_verdict_is_possible(chromium, tmp_path, pruned):
    pruned(tmp_path)
    pruned(tmp_path, method="unstructured", criterion="l1")
    path = tmp_path / "report.html"
    path.write_bytes(page(document(gather(str(tmp_path)))))
    chromium.get(path.as_uri())
    assert "no verdict is possible without more seeds" in chromium.find_element("id", "verdicts").text
    assert "one seed cannot tell" in chromium.find_element("id", "verdicts").text


@pytest.fixture(scope="module")
def board_page(fixed, tmp_path_factory):
    """The page of a study that has fixed its comparisons."""
    path = tmp_path_factory.mktemp("board") / "report.html"
    path.write_bytes(page(document(gather(str(fixed)))))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_board_is_read_on_a_narrow_screen_and_stands_in_place_of_verdicts(chromium, board_page, scheme):
    emulate(chromium, scheme)
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        chromium.get_log("browser")
        chromium.get(board_page.as_uri())
        assert chromium.get_log("browser") == []
        assert chromium.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert not chromium.find_element("id", "verdicts-section").is_displayed()
        rows = chromium.find_elements("css selector", "table.board tbody tr")
        assert [row.find_elements("css selector", "td")[1].text for row in rows] == [
            *("l1", "random", "trained on, nothing removed", "unpruned")
        ]
        told = rows[0].find_element("css selector", "b")
        assert told.text.startswith("+1.8")
        figure, interval = told.text.split("\n")  # below each other
        assert (figure, interval[0]) == ("+1.8", "(")
        (warned,) = chromium.find_elements("css selector", "#board .warning")
        assert "changed on 2026-01-03" in warned.text
        assert "prunebench study study.toml --set lr=1" in chromium.find_element("id", "commands").text
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
