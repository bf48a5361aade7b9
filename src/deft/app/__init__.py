"""`deft app`: a page on this machine that shows what a pipeline answers."""
