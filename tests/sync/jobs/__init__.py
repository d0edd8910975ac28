"""What is proved of long work: one worker at a time, resumed, handed back, cancelled, given up."""
