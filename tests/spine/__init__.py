"""The bones judged by programs: stores and API servers as plain processes on loopback, upstream's clients on them."""
