"""One line for each experiment: start it, and open its view."""
