"""The report of a study: built from its storage alone, drawn as figures and a page."""
