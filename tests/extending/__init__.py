"""What a user adds: each in one file that imports public names only."""
