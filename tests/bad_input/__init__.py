"""Wrong input over all commands: what each must say, and that nothing is left behind."""
