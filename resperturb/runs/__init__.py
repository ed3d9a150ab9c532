"""A page for every record in results/, and an index of them; :mod:`resperturb.run_pages` puts them into the book."""
