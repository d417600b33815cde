"""Commands about publishing epochs to directories, object stores and fleets."""
