"""The cases that every pair of peers goes through, one real system at each end of the hub."""
