"""Our scheduler beside upstream's."""
