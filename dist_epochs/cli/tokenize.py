"""`dist-epochs tokenize`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from dist_epochs.arithmetic.packings import BEST_FIT, PACKINGS
from dist_epochs.cli.output import as_json, print_json
from dist_epochs.errors import InputError, Origin
from dist_epochs.settings.address import is_address, without_secrets
from dist_epochs.terminal import show

if TYPE_CHECKING:
    from dist_epochs.corpus.input.folder import NotRead
    from dist_epochs.corpus.input.sources import Source
    from dist_epochs.corpus.readers.text import DocumentMode
    from dist_epochs.corpus.tokenizing.parts import Share
    from dist_epochs.corpus.tokenizing.tokenize_part import Progress, Settings
    from dist_epochs.corpus.tokenizing.tokenizer import TextTokenizer

MOST_NAMED = 20
"""Files of a folder that are not read for one reason, of which no more are named."""


@click.command(short_help="Count a corpus exactly, and write its tokens.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--tokenizer", metavar="FILE",
    help="A fast tokenizer's tokenizer.json or its folder, `embedded`, or a repository of the Hub, such as gpt2.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the token store to write.")
@click.option("--count-only", is_flag=True, help="Count and write nothing.")
@click.option("--sequence-length", metavar="128,512", help="Lengths to pack at, and count the samples of.")
@click.option(
    "--packing", type=click.Choice(PACKINGS), default=BEST_FIT, show_default=True,
    help="How documents become samples; the recipe's corpus.packing takes one of those that were made.",
)  # fmt: skip
@click.option(
    "--document", type=click.Choice(["line", "paragraph", "file"]), default="line", show_default=True,
    help="What a document of a text file is.",
)  # fmt: skip
@click.option("--text-column", default="text", show_default=True, help="Column of JSON lines, Parquet and datasets.")
@click.option(
    "--special-tokens/--no-special-tokens",
    default=True,
    show_default=True,
    help="Add the tokenizer's special tokens, once per document.",
)
@click.option(
    "--held-out", default="0", metavar="1%", show_default=True, help="Share of the documents kept for evaluation."
)
@click.option(
    "--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
    help="What to do about a document that cannot be read; skipped ones are counted.",
)  # fmt: skip
@click.option(
    "--eos",
    type=click.IntRange(0, 2**32 - 1),
    metavar="ID",
    help="Of tokens: the id between documents, where no index tells these.",
)
@click.option(
    "--dtype",
    type=click.Choice(["uint16", "uint32", "int32", "int64"]),
    help="Of tokens in a file that does not say it: the type of an id.",
)
@click.option(
    "--refer",
    is_flag=True,
    help="Of tokens: leave them in their files, to which the store refers, instead of copying them.",
)
@click.option(
    "--workers", type=click.IntRange(1, 4096), metavar="N", help="Processes; the store is the same with any number.  "
    "[default: the cores at hand]",
)  # fmt: skip
@click.option(
    "--shard", metavar="I/N",
    help="Only every Nth part of the input, from the Ith on; `merge` of all N is the store.",
)  # fmt: skip
@click.option("--append", is_flag=True, help="Add SOURCE to the store that is at --out, after what it holds.")
@click.option("--verify", is_flag=True, help="Of a store: compare all digests, even if that was done before.")
@as_json
def command(
    sources: tuple[str, ...],
    tokenizer: str | None,
    out: Path | None,
    count_only: bool,
    sequence_length: str | None,
    packing: str,
    document: str,
    text_column: str,
    special_tokens: bool,
    held_out: str,
    on_error: str,
    eos: int | None,
    dtype: str | None,
    refer: bool,
    workers: int | None,
    shard: str | None,
    append: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Count the documents, words, tokens and samples of each SOURCE, and write a token store.

    SOURCE is a .txt, .jsonl (.gz or .zst too) or .parquet file, a folder of these, `hf:NAME[:CONFIG[:SPLIT]]`
    for a dataset, or `embedded`; write name=SOURCE to name it. A store as the only SOURCE is packed at
    further lengths, or verified. Tokens of Megatron (.bin, .idx), llm.c and nanoGPT (.bin), `datasets` (Arrow or
    Parquet with input_ids) and MDS are counted without a tokenizer, and copied or referred to as they are.
    """
    from dist_epochs.corpus.input.given_tokens import check_tokenizer
    from dist_epochs.corpus.input.sources import find_sources
    from dist_epochs.corpus.input.token_files import Reading
    from dist_epochs.corpus.tokenizing.tokenize import Settings
    from dist_epochs.corpus.tokenizing.workers import cores_at_hand

    workers = workers or cores_at_hand()
    lengths = _lengths(sequence_length)
    if len(sources) == 1 and _is_store(sources[0]):
        if tokenizer or out or count_only or shard or append or not (lengths or verify):
            raise InputError(
                f"{without_secrets(sources[0])} is a token store, whose documents are counted already",
                fixes=("--sequence-length alone, to pack it at further lengths", "--verify, to compare its digests"),
            )
        counts = _verify_and_pack(sources[0], lengths, packing, workers, again=verify)
        _show(counts, as_json, last=f"{without_secrets(sources[0])}: every digest agrees" if verify else "")
        return
    if verify:
        raise InputError("--verify is for a token store alone", fixes="its folder as the only SOURCE")
    found = find_sources(
        sources,
        document=cast("DocumentMode", document),
        text_column=text_column,
        reading=Reading(eos=eos, dtype=dtype),
    )
    check_tokenizer(found, tokenizer is not None or append)
    if append and (out is None or shard):
        raise InputError("--append adds to a store", rule="all of SOURCE", fixes="--out STORE --append alone")
    if (out is None) is not count_only:
        raise InputError(
            "either the tokens are written or they are only counted", fixes=("--out STORE", "--count-only")
        )
    share = _shard(shard, out)
    settings = Settings(
        special_tokens=special_tokens,
        held_out=_share(held_out),
        on_error=cast(Literal["stop", "skip"], on_error),
        sequence_lengths=lengths,
        packing=packing,
        refer=refer,
    )
    counts = _tokenize(found, tokenizer, settings, out, share, workers, append=append)
    not_read = [each for source in found for each in source.not_read]
    _show(counts, as_json, not_read, out, last=_other_corpus(counts) if append else "")


def _lengths(text: str | None) -> tuple[int, ...]:
    """The lengths of --sequence-length, shortest first."""
    from dist_epochs.arithmetic.quantity import parse_length

    parts = text.split(",") if text else []
    return tuple(sorted({parse_length(part, what="--sequence-length") for part in parts}))


def _is_store(place: str) -> bool:
    """Whether a SOURCE is a token store; what is at an address can be nothing else."""
    return is_address(place) or (Path(place) / "manifest.json").is_file()


def _verify_and_pack(place: str, lengths: Sequence[int], packing: str, workers: int, *, again: bool) -> dict[str, Any]:
    """Compare the digests of a store, pack it at lengths that it is not packed at yet, and return its counts.

    Args:
        place: The store, which is packed already if it is at an address, as nothing is written there.
        lengths: The lengths.
        packing: How documents become samples.
        workers: Processes that pack.
        again: Whether digests are compared even if that was done before.
    """
    from dist_epochs.corpus.stores.opening import open_store
    from dist_epochs.corpus.stores.verify import verify_store
    from dist_epochs.corpus.tokenizing.build import pack

    store = open_store(place, lengths, packing)
    if store.remote is not None and (missing := store.facts(packing).not_packed(lengths)):
        raise InputError(
            f"{store.place} is not packed at length {', '.join(map(str, missing))} ({packing})",
            rule="nothing is written to a store at an address",
            fixes="to pack it where it was made, and to upload the new packed folders",
        )
    verify_store(store, again=again)
    return pack(store, lengths, packing, workers)


def _tokenize(
    sources: tuple[Source, ...],
    tokenizer: str | None,
    settings: Settings,
    out: Path | None,
    share: Share | None,
    workers: int,
    *,
    append: bool,
) -> dict[str, Any]:
    """Count sources, or write them to a new store or to the end of one, and return the counts."""
    from dist_epochs.corpus.tokenizing.hub_tokenizer import tokenizer_of
    from dist_epochs.corpus.tokenizing.tokenize import tokenize

    given = None if tokenizer is None else tokenizer_of(tokenizer, lambda said: show(said, err=True))
    add: Callable[..., dict[str, Any]] = partial(tokenize, tokenizer=given, settings=settings, out=out, share=share)
    if append:
        assert out is not None
        add = _appending(out, given, settings)
    try:
        with _bar(sources, share) as progress:
            return add(sources, workers=workers, progress=progress)
    except KeyboardInterrupt as stop:
        for note in getattr(stop, "__notes__", ()):
            show(f"interrupted: {note}", err=True)
        raise


def _show(
    counts: dict[str, Any],
    as_json: bool,
    not_read: Sequence[NotRead] = (),
    out: Path | None = None,
    *,
    last: str = "",
) -> None:
    """Print what was not read, the counts, and a last line; or all but that as JSON."""
    if as_json:
        print_json({**counts, "not_read": [asdict(each) for each in not_read]})
        return
    for line in _not_read_lines(not_read):
        show(line, err=True)
    show(counts_text(counts, out))
    if last:
        show(last)


def _not_read_lines(not_read: Sequence[NotRead]) -> Iterator[str]:
    """What of a folder was not read, by reason."""
    from dist_epochs.settings.value import printable

    by_reason: dict[str, list[str]] = {}
    for each in not_read:
        by_reason.setdefault(each.reason, []).append(each.path)
    for reason, paths in by_reason.items():
        yield from (f"not read, {reason}: {printable(path)}" for path in paths[:MOST_NAMED])
        if len(paths) > MOST_NAMED:
            yield f"not read, {reason}: {len(paths) - MOST_NAMED:,} more, which --json names"


def _is_stated(option: str) -> bool:
    """Whether an option was given."""
    return click.get_current_context().get_parameter_source(option) is not click.core.ParameterSource.DEFAULT


def _appending(out: Path, tokenizer: TextTokenizer | None, settings: Settings) -> Callable[..., dict[str, Any]]:
    """What adds sources to a store: as its documents became tokens, where no option says otherwise."""
    from dist_epochs.corpus.tokenizing.append import append, settings_of

    before, own = settings_of(out)
    unstated = {name: getattr(before, name) for name in ("held_out", "special_tokens") if not _is_stated(name)}
    settings = replace(settings, **unstated)
    return partial(append, out, tokenizer=tokenizer or own, settings=settings)


def _other_corpus(counts: dict[str, Any]) -> str:
    """What follows for plans and runs on the store as it was."""
    before = f" and not {counts['fingerprint_before'][:12]}" if counts["fingerprint_before"] else ""
    return (
        f"the corpus is another one now (fingerprint {counts['fingerprint'][:12]}{before}): a plan of it is another"
        " plan, and a run that began on the store as it was cannot be resumed on it"
    )


def _shard(text: str | None, out: Path | None) -> Share | None:
    from dist_epochs.corpus.tokenizing.parts import Share

    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text, re.ASCII)
    if match is None or int(match[1]) > int(match[2]):
        rule = "it says which of how many there are, such as 1/8 to 8/8"
        raise InputError(f"{text!r} is no shard", rule=rule, origin=Origin("--shard"))
    if out is None:
        raise InputError("a shard is written", fixes="--out STORE", origin=Origin("--shard"))
    return Share(int(match[1]), int(match[2]))


def _share(text: str) -> Any:
    from dist_epochs.arithmetic.quantity import parse

    share = parse(text, what="--held-out").value
    if not 0 <= share < 1:
        raise InputError(
            f"--held-out {text} is not below 100%",
            rule="nothing would be left to train on",
            origin=Origin("--held-out"),
        )
    return share


@contextmanager
def _bar(sources: tuple[Source, ...], share: Share | None) -> Iterator[Progress]:
    from dist_epochs.runtime.bar import bar

    total = sum(unit.size for source in sources for unit in source.units) // (share.shares if share else 1) or None
    made = {"documents": 0, "tokens": 0}
    with bar("tokenize", total) as shown:

        def progress(read: int, documents: int = 0, tokens: int = 0) -> None:
            made["documents"] += documents
            made["tokens"] += tokens
            counts = (f"{shown.format_sizeof(count)} {name}" for name, count in made.items())
            shown.set_postfix_str(", ".join(counts), refresh=False)
            shown.update(read)

        yield progress


def counts_text(counts: dict[str, Any], out: Path | None) -> str:
    """Counts for a terminal, and where the store was written."""
    from dist_epochs.arithmetic.text import number
    from dist_epochs.render.packing import packing_words
    from dist_epochs.render.text import aligned
    from dist_epochs.settings.value import printable

    def rows() -> Iterator[tuple[str, str, str]]:
        uncounted = {kind: counts[f"{kind}_documents"] for kind in ("empty", "skipped")}
        notes = [f"{number(count)} {kind}" for kind, count in uncounted.items() if count]
        if counts["documents"] is not None:
            yield "documents", number(counts["documents"]), f"and {', '.join(notes)}, not counted" if notes else ""
        if counts["words"] is not None:
            yield "words", number(counts["words"]), "whitespace-separated"
        per_word = f"= {counts['tokens_per_word']:.4f} per word" if counts["words"] else ""
        yield "tokens", number(counts["tokens"]), per_word
        for packed in counts["packings"]:
            length, name = packed["sequence_length"], packed["packing"]
            label = f"samples of {length}" + (f", {name}" if name != BEST_FIT else "")
            yield label, number(packed["samples"]), packing_words(packed)
        if counts["held_out"]:
            tokens = f"documents, {number(counts['held_out']['tokens'])} tokens, not in the above"
            yield "held out", number(counts["held_out"]["documents"]), tokens

    title = printable(", ".join(source["name"] for source in counts["sources"]))
    written = (
        "written before, by the same command from the same files, to" if counts["written_before"] else "written to"
    )
    said = [
        f"note {printable(note)}"
        for source in counts["sources"]
        if "holds" in source
        for note in _notes(source["holds"])
    ]
    return "\n".join([title, aligned(rows()), *said, *([f"{written} {printable(str(out))}"] if out else [])])


def _notes(holds: dict[str, Any]) -> Iterator[str]:
    """What a corpus of tokens holds, and what has to be known of it."""
    from dist_epochs.arithmetic.text import number

    files = f" in {number(len(holds['shards']))} files" if len(holds["shards"]) > 1 else ""
    names = ("sequences", "rows", "samples", "dtype", "eod", "eot_place")
    known = {name: holds[name] for name in names if holds.get(name) is not None}
    shown = [f"{name} {number(value) if name in names[:3] else value}" for name, value in known.items()]
    yield f"tokens as {holds['kind']} has them{files}: {', '.join(shown) or 'no more is told'}"
    yield from holds["notes"]
    if kept := holds.get("validation"):
        yield f"{', '.join(kept['files'])}: {number(kept['tokens'])} tokens for evaluation, which are in the above"
