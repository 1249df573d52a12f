"""Verification of a release: a sample, a judge, people, how far they agree, and the table that tiers follow.

Everything is kept in one folder beside the release: `sample.parquet` and `facts.parquet` (what is judged),
`judgements/` (a table for every judge), `reviews/` (an append-only file for every reviewer), `report/`, and
`verification.parquet`, which a build takes with `--verification`. Paper: appendix D.2.
"""
