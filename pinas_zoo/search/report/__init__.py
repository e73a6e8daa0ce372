"""The HTML report of a run: page, template and figures."""
