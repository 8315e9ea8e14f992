"""Numbers with names: frozen results, their vocabulary and their errors. Needs numpy only."""
