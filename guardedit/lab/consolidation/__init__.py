"""Measures whether of many facts, numbered in order, the newest of each answers; alone and in chains of two.

After the FactConsolidation test of MemoryAgentBench (Hu et al. 2025, arXiv:2507.05257), made again from the
pairs of MQuAKE: each pair is an old fact and a later one about the same subject and relation.
"""
