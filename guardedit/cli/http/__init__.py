"""Commands about HTTP: serve applications, stand in front of a server, tokens of operators."""
