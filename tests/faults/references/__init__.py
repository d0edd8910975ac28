"""Promises I1, I2 and I8 for records that refer to the records of other entities, which arrive later."""
