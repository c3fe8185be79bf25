"""The audit of a text as Markdown: the text, its facts, and what follows from them."""

from __future__ import annotations

from dist_epochs.audit.sentence.audited import SentenceAudit
from dist_epochs.names import in_words
from dist_epochs.render.audit_markdown import audit_markdown
from dist_epochs.render.markdown import bullets, markdown_table, quoted
from dist_epochs.render.sentence import flat, unused_text

__all__ = ["sentence_markdown"]


def sentence_markdown(found: SentenceAudit) -> str:
    """The audit of a text, for a review: the text, its facts, and the audit."""
    reading = found.reading
    rows = []
    for fact in reading.facts:
        data = fact.to_json()
        rows.append((flat(fact.text), in_words(fact.role), _value(data["value"]), data["unit"] or ""))
    blocks = [[*quoted(reading.given)], markdown_table(("text", "is read as", "value", "unit"), rows, "<<><")]
    unused = unused_text(found)
    blocks += [bullets([unused])] if unused else []
    return audit_markdown(found.audit, ["\n\n".join("\n".join(block) for block in blocks if block)])


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return " to ".join(map(_value, value))
    return f"{value:,.12g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
