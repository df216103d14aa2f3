from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from study.results.figures import drawing as figures
from study.results.model import Report
from study.results.page.html import render
from study.results.text.pair import cell_sentence
from study.results.writing import write_index, write_report
from tests.study.results import example

REPORTS = ("digits_report", "synthetic_report", "partial_report", "hostile_report")
_VOID = {"meta", "br", "path", "use", "img"}


class Page(HTMLParser):
    """Tags, attributes, ids, headings and text of a page; complains about tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data.replace("\u00a0", " ")
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    made = {}
    for name in REPORTS:
        report = getattr(example, name)()
        report["cells"] = report["cells"][: 2 if name == "digits_report" else 1]
        written = figures.draw(Report.from_json(report).cells, tmp_path_factory.mktemp("figures"))
        svgs = {path.stem: path.read_text(encoding="utf-8") for path in written if path.suffix == ".svg"}
        made[name] = render(Report.from_json(report), svgs)
    return made


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_loads_nothing_and_runs_nothing(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    assert not {"script", "link", "iframe", "object", "img", "image", "base", "form"} & {tag for tag, _ in page.tags}
    attributes = [(key, value or "") for _, found in page.tags for key, value in found.items()]
    assert not [key for key, _ in attributes if key.startswith("on")]
    assert all(value.startswith("#") for key, value in attributes if key in ("href", "xlink:href", "src"))
    ids = {value for key, value in attributes if key == "id"}
    assert {value[1:] for key, value in attributes if key == "href"} <= ids
    assert not re.findall(r"@import|url\((?!#)", pages[name])


@pytest.mark.parametrize("name", REPORTS)
def test_no_id_is_used_twice_and_every_reference_has_its_target(pages: dict[str, str], name: str) -> None:
    ids = [found["id"] for _, found in Page(pages[name]).tags if "id" in found]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', pages[name])) <= set(ids)


def test_hostile_names_are_shown_as_text(pages: dict[str, str]) -> None:
    assert "<script" not in pages["hostile_report"]
    assert "<script>alert('x')</script>" in Page(pages["hostile_report"]).text


def test_the_answer_comes_first_and_in_words(pages: dict[str, str]) -> None:
    page = Page(pages["digits_report"])
    assert page.headings == [
        "The answer in numbers", "The evidence", "What would change the answer", "How it was computed", "Versions",
    ]  # fmt: skip
    first = page.text.index("The answer in numbers")
    for cell in Report.from_json(example.digits_report()).cells[:2]:
        assert 0 < page.text.index(cell_sentence(cell)) < first


def test_the_contents_lead_to_every_section_and_pair(pages: dict[str, str]) -> None:
    page = Page(pages["digits_report"])
    links = [found["href"] for tag, found in page.tags if tag == "a"]
    assert links == ["#numbers", "#evidence", "#doubts", "#method", "#versions", "#pair-1", "#pair-2"]
    assert page.text.index("1 · digits, left + right") > page.text.index(
        cell_sentence(Report.from_json(example.digits_report()).cells[0])
    )


def test_a_written_page_links_to_the_files_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "digits"
    out.mkdir()
    (out / "config.yaml").write_text("study: digits\n")
    write_report(Report.from_json(example.digits_report()), out)
    write_index(tmp_path)
    links = [found["href"] or "" for tag, found in Page((out / "report.html").read_text()).tags if tag == "a"]
    files = [link for link in links if not link.startswith("#")]
    assert {"tables/encoders.csv", "tables/pairs.csv", "report.json", "config.yaml", "../index.html"} <= set(files)
    assert all((out / link).is_file() for link in files)


def test_no_figure_names_an_encoder_by_its_number(pages: dict[str, str]) -> None:
    for page in pages.values():
        assert not re.search(r"encoder [12]\b", page)


def test_every_figure_says_what_it_shows(pages: dict[str, str]) -> None:
    drawn = [found for tag, found in Page(pages["digits_report"]).tags if tag == "svg"]
    assert len(drawn) == 2 * 7 + 1  # two pairs show no relation between λ* and redundancy
    assert all(found["role"] in ("img", "group") and len(found["aria-label"] or "") > 20 for found in drawn)


def test_tables_have_headers_for_rows_and_columns(pages: dict[str, str]) -> None:
    headers = [found for tag, found in Page(pages["digits_report"]).tags if tag == "th"]
    assert headers
    assert {found.get("scope") for found in headers} == {"col", "row", "rowgroup"}


def test_a_pair_takes_less_than_200_kilobytes(pages: dict[str, str]) -> None:
    assert len(pages["digits_report"].encode()) < 2 * 200_000


@pytest.mark.parametrize(
    ("status", "stand_in", "told"), [("partial", False, "has not ended"), ("complete", True, "Stand-in data")]
)
def test_what_a_reader_must_know_first_is_a_banner(status: str, stand_in: bool, told: str) -> None:
    page = render(replace(Report.from_json(example.digits_report()), status=status, stand_in=stand_in))
    assert re.search(rf'class="banner"[^>]*>[^<]*{told}', page)


def test_a_finished_study_on_real_data_has_no_banner() -> None:
    assert 'class="banner"' not in render(Report.from_json(example.digits_report()))


@pytest.mark.parametrize("report", [{}, {"cells": None, "versions": None}, {"study": None, "cells": [{}]}])
def test_a_report_of_nothing_is_still_a_page(report: dict[str, Any]) -> None:
    assert Page(render(Report.from_json(report))).headings


def test_a_report_with_the_stable_fields_alone_is_rendered() -> None:
    bare = Report.from_json(example.without_optional_fields(example.digits_report()))
    page = Page(render(bare)).text
    assert "left gains 1.3 points [0.9, 1.7]" in page
    assert "None" not in page


def test_the_chosen_strategy_stands_out_among_the_alternatives() -> None:
    page = render(Report.from_json(example.digits_report()))
    assert re.search(
        r'<tr class="chosen"><th scope="row">align fourier only \(chosen\)</th><td class="n">0 / 1.9</td>', page
    )


def test_rendering_reads_no_file_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert render(Report.from_json(example.digits_report())).startswith("<!doctype html>")


def test_figures_are_captioned_with_the_modalities(pages: dict[str, str]) -> None:
    text = Page(pages["digits_report"]).text
    assert "The encoder of left against λ." in text
    assert "The encoder of right against λ, drawn as that of left." in text


def test_a_strategy_that_came_to_no_alignment_has_no_gain_to_tell() -> None:
    report = example.digits_report()
    gain = {"mean": 0.0, "interval": [0.0, 0.0], "p_value": 1.0, "p_adjusted": 1.0, "seeds": 10}
    report["cells"][0]["pair_choice"]["alternatives"] = [
        {"strategy": "to_1", "strengths": [0.0, 0.0], "gains": [gain, gain], "gain_mean": gain}
    ]
    values = "".join(f'<td class="n">{value}</td>' for value in ("0 / 0", "–", "–", "–", "–"))
    assert f"align left only</th>{values}" in render(Report.from_json(report))


@pytest.mark.parametrize(("encoders", "told"), [(4, False), (5, True)])
def test_a_rank_correlation_is_told_of_five_encoders_at_least(encoders: int, told: bool) -> None:
    agreement = {"encoders": encoders, "spearman": -0.1, "interval": [-0.9, 0.8], "p_value": 0.8}
    page = render(Report.from_json({**example.digits_report(), "forecast_agreement": agreement}))
    assert ("rank correlation −0.10 [−0.90, 0.80] over 5 encoders" in page) == told
    assert ("rank correlation" in page) == told
