"""What every part of the project shares: types, console, files, processes, fonts."""
