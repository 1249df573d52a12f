"""PolyFact: builds parallel multilingual multiple-choice facts from Wikidata."""

__version__ = "0.1.0"


def load(config: str = "parallel", split: str | None = None, *, release: str = "build/release", **options: object):  # type: ignore[no-untyped-def]
    """`datasets.load_dataset` with the release that `polyfact build` wrote as its default.

    `config` is `parallel`, `clean`, a language code or `clean_<code>`; `release` a folder or a Hub id. Returns what
    `load_dataset` returns: a `DatasetDict` of the splits, or one `Dataset` when `split` is given.
    """
    from datasets import load_dataset

    return load_dataset(release, config, split=split, **options)
