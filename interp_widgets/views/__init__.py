"""Live views of results: anywidgets in the notebook, single pages outside it. Need no torch."""
