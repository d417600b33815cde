"""The HTTP interface of OpenAI's API, as far as a served model can honour it."""
