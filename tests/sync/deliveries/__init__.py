"""Tests of which deliveries exist, in what order, and who may run one."""
