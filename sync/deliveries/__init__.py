"""Which deliveries exist, in what order, and who may run one?"""
