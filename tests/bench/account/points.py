"""Where the account is taken: the functions of the product, by the part of the work that they are.

A name that is not there any more is reported and left out. Time counts for the innermost part that is running, so
that what surrounds others (Django, DRF, the delivery) stands for what it does itself. Statements and commits are not
here: `accounting` books them one by one.
"""

POINTS: dict[str, tuple[str, ...]] = {
    "Django: request, middleware, response": ("django.core.handlers.wsgi.WSGIHandler.__call__",),
    "DRF: the view": ("rest_framework.views.APIView.dispatch",),
    "gate: verify and parse": (
        "webhooks.receiving.incoming_request.read_arrival",
        "webhooks.receiving.source_cache.source_of",
        "webhooks.receiving.gate.verify_sender",
        "webhooks.receiving.gate.read_notice",
    ),
    "receive and record": (
        "webhooks.receiving.receive.receive_webhook",
        "webhooks.receiving.record.record_webhook",
        "database.group_commit.Gathering.do",
        "sync.opening.plan_ways",
        "sync.opening.open_deliveries",
    ),
    "claim": (
        "sync.claiming.claim",
        "sync.claiming.start_claimed",
        "sync.subjects.lock_open",
        "sync.subjects.seen",
        "sync.subjects.next_of_subject",
    ),
    "protection of neighbours": (
        "webhooks.receiving.request_limit.admit",
        "sync.breaking.note_success",
        "sync.guarding.guard",
        "sync.pacing.wait_for_turn",
        "sync.slots.free_slot",
    ),
    "configuration": ("sync.configuration.ways_of", "sync.configuration.way_of", "sync.configuration.ways"),
    "plan: map, match, compare": (
        "sync.attempting.run",
        "sync.delivering.connect_to",
        "sync.planning.plan_present",
        "sync.linking.linked",
    ),
    "HTTP: our client": (
        "sync.connectors.client.HttpClient.ask",
        "sync.connectors.client.HttpClient.read",
        "sync.connectors.client.HttpClient.read_any",
    ),
    "HTTP: library and socket": ("sync.connectors.http.transmit",),
    "record calls": (
        "sync.recording.AttemptRecorder.about_to_send",
        "sync.recording.AttemptRecorder.answered",
        "sync.recording.calls_to_write",
    ),
    "settle": ("sync.settling.settle", "sync.linking.renewal"),
    "answer": (
        "sync.outcomes.outcome_of",
        "sync.outcomes.outcome_of_attempt",
        "sync.outcomes.outcome_when_opened",
        "webhooks.receiving.answers.outcome_answer",
        "webhooks.receiving.outcome_links.outcome_path",
        "webhooks.receiving.answer_record.Telling.__init__",
        "webhooks.receiving.answer_record.Telling.joining",
        "webhooks.views.respond",
    ),
    "threads: hand over, wait, tell": (
        "sync.tasks.reserve",
        "sync.tasks.Place.start",
        "sync.tasks.BoundedExecutor._run",
        "sync.tasks.run_with_followers",
        "sync.tasks._follow",
        "sync.waiting.wait",
        "sync.waiting.notify",
    ),
    "delivery: its frame": ("sync.delivering.carry_out", "sync.delivering.deliver"),
    "queue": ("sync.queue.defer", "sync.queue.Courier.hand", "sync.wakeups.WakeUps.put"),
    "audit: append": ("audit.entries.append.appending", "audit.entries.append.beginning"),
    "sealing": ("webhooks.encryption.at_rest.seal", "webhooks.encryption.at_rest.unseal"),
    "JSON": ("json.dumps", "json.loads", "sync.connectors.answers.read_json"),
    "logging": ("logging.Logger._log",),
    "statements: values put together": (
        "database.bulk_insert.insert",
        "database.statement.Statement._execute",
        "database.bulk_insert.store",
        "database.bulk_insert.store_given",
        "database.write_batch.together",
    ),
    "models: rows in memory": ("django.db.models.base.Model.__init__", "database.model_rows.fresh"),
    "ORM": (
        "django.db.models.query.QuerySet._fetch_all",
        "django.db.models.query.QuerySet._filter_or_exclude",
        "django.db.models.query.QuerySet._clone",
        "django.db.models.query.QuerySet.exists",
        "django.db.models.query.QuerySet.first",
        "django.db.models.query.QuerySet.update",
        "django.db.models.query.QuerySet.select_related",
        "django.db.models.base.Model.save",
    ),
    "writers' line (SQLite)": (
        "database.sqlite.writer_queue.WriterQueue.acquire",
        "database.sqlite.writer_queue.WriterQueue.release",
    ),
    "connections: borrow and give back": (
        "django.db.backends.base.base.BaseDatabaseWrapper.connect",
        "django.db.backends.base.base.BaseDatabaseWrapper.close",
        "django.db.close_old_connections",
        "database.connection.release_connection",
    ),
    "transactions: begin and end": (
        "django.db.transaction.Atomic.__enter__",
        "django.db.transaction.Atomic.__exit__",
    ),
}
