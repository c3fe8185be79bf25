"""HTML: what is escaped, and how tables are laid out."""

from dist_epochs.report.html import Markup, element, empty, joined, table
from tests.report.reading import Page


def test_text_and_attributes_are_escaped():
    page = element("p", "<script>alert(1)</script> & \x1b[31m", title='"><script>')
    assert "<script>" not in page
    assert Page(page).text == "<script>alert(1)</script> & \ufffd[31m"
    assert ("title", '"><script>') in Page(page).attributes


def test_markup_stands_as_it_is():
    assert joined(["a<", Markup("<b>"), ["c"]]) == "a&lt;<b>c"
    assert empty("line", x1="0%", stroke_width=2, class_=None) == '<line x1="0%" stroke-width="2"/>'


def test_columns_of_numbers_stand_to_the_right():
    page = table(["", "steps", "from", "hours"], [["a", "1,000", "= 2 × 500", ""], ["b", "~3", "x", "≥ 2"]])
    assert page.count('class="number"') == 2 * 3, "heads and cells of steps and hours"
    assert '<td class="number">1,000</td><td>= 2 × 500</td>' in page
