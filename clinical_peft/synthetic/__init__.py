"""A synthetic hospital: MIMIC-shaped tables and notes in which every label depends on what the notes say."""
