"""What people see of a command, and the one door to the terminal."""
