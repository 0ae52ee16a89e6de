"""The parts of the Python language; `cdaf.languages.python` is their door."""
