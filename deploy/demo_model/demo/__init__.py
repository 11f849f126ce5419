"""How the demo model is made: from the corpus to a folder that an engine can load."""
