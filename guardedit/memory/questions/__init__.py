"""From a question to the facts that it asks for: its clauses, and which of the judged facts count. Pure."""
