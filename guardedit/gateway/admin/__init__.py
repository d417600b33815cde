"""The operators' HTTP interface: corrections, facts, epochs, what waits for a person, and the page."""
