"""What the commands share: options, what they show, and a command as a process."""
