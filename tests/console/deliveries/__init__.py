"""Tests of the pages of deliveries: held ones, and what blocks one."""
