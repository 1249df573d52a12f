"""Evaluators: PolyFact multiple choice and open answers, KLAR, Global-MMLU, and the comparison of their results."""
