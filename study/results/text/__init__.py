"""What a report says in sentences, and its numbers in their units."""
