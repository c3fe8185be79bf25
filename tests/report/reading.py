"""Reads a report as another program would: its numbers with their keys, and what it loads."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """What stands in a page.

    Attributes:
        numbers: Key in the JSON, value and text of each number.
        text: All text that is shown.
        elements: Names of all elements.
        attributes: Name and value of every attribute.
        open: Elements that are not closed; empty for a page that is well formed.
    """

    EMPTY = ("meta",)

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.numbers, self.text, self.elements, self.attributes, self.open = [], "", [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open, tag
        name, _ = self.open.pop()
        assert name == tag, f"{name} is closed by {tag}"

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "data":
            attributes = self.open[-1][1]
            self.numbers.append((attributes["data-key"], attributes["value"], data))
        if not self.open or self.open[-1][0] != "style":
            self.text += data


def at(data, key):
    """What stands at a dotted key."""
    for part in key.split("."):
        data = data[int(part)] if isinstance(data, list) else data[part]
    return data
