"""The documents of a release: templates of card, datasheet, citation and licence, and what they share.

`polyfact_dataset.release.documents` renders them; no number is typed here.
"""
