"""What changes when the clock of the machine is set, by which SQLite measures leases and due times?"""
