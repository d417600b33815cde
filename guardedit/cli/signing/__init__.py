"""Commands about the keys that sign corrections."""
