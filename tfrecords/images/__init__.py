"""One photo after the other: decoded, made upright, compared."""
