"""A proxy for any server with OpenAI's API: it states facts in questions and leaves the rest untouched."""
