"""Answers many requests at once, token by token, in batches that rows join and leave."""
