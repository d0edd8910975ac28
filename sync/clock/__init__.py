"""What must change when the machine's clock is set, which measures leases and due times on SQLite?"""
