"""Plain records, protocols and errors that every other package uses. Imports no other package."""
