"""What a pipeline does with what a user holds: measurements in, answers with their verdicts out."""
