"""A user's own code: named, found with what it imports, read, carried, and told of where it is at fault."""
