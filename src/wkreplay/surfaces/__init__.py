"""What each stand-in answers at a moment of the recording."""
