"""Print a key of the REST API for Tryton's administrator. Run by the Python of Tryton's installation.

Usage: `python tryton_key.py CONFIGURATION DATABASE`.
"""

import sys

from trytond import config

config.update_etc(sys.argv[1])

from trytond.pool import Pool  # noqa: E402
from trytond.transaction import Transaction  # noqa: E402

database = sys.argv[2]
Pool.start()
pool = Pool(database)
with Transaction().start(database, 0, readonly=True):
    pool.init()
with Transaction().start(database, 0) as transaction:
    [admin] = pool.get("res.user").search([("login", "=", "admin")])
    with transaction.set_user(admin.id):
        [application] = pool.get("res.user.application").create([{"user": admin.id, "application": "rest"}])
    transaction.commit()
    print(application.key)
