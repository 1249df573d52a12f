"""Verification of a release: a sample, a judge, reviewers, their agreement, and the table that decides tiers.

All files are in one folder next to the release: `sample.parquet` and `facts.parquet` (what is judged),
`judgements/` (a table for every judge), `reviews/` (an append-only file for every reviewer), `report/`, and
`verification.parquet`, which a build reads with `--verification`. Paper: appendix D.2.
"""
