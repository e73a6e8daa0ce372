"""The report of a run: its page, its template and its figures."""
