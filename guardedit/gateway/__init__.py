"""Answers applications over HTTP as OpenAI's API does, with a model of its own or in front of any server."""
