"""The functions of the product whose time is booked, by part of the work.

A name that does not exist is reported and left out. Time counts for the innermost running part, so that the parts
around others (Django, DRF, the delivery) show only their own time. Statements and commits are booked one by one by
`process_account`.
"""

POINTS: dict[str, tuple[str, ...]] = {
    "Django: request, middleware, response": ("django.core.handlers.wsgi.WSGIHandler.__call__",),
    "DRF: the view": ("rest_framework.views.APIView.dispatch",),
    "gate: verify and parse": (
        "webhooks.receiving.incoming_request.read_incoming_request",
        "webhooks.receiving.source_cache.find_source",
        "webhooks.receiving.request_verification.verify_request",
        "webhooks.receiving.request_verification.parse_request",
    ),
    "receive and record": (
        "webhooks.receiving.receive.receive_webhook",
        "webhooks.receiving.request_storage.record_webhook",
        "database.group_commit.GroupCommit.submit",
        "sync.deliveries.creation.resolve_routes",
        "sync.deliveries.creation.open_deliveries",
    ),
    "claim": (
        "sync.deliveries.claims.claim_delivery",
        "sync.deliveries.claims.claim_unstored",
        "sync.deliveries.ordering.lock_open_siblings",
        "sync.deliveries.ordering.read_subject_state",
        "sync.deliveries.ordering.find_next_of_subject",
    ),
    "protection of neighbours": (
        "webhooks.receiving.request_limit.check_request_limit",
        "sync.limits.circuit_breaker.record_success",
        "sync.attempts.mass_change_guard.check_mass_change",
        "sync.limits.rate_limit.wait_for_turn",
        "sync.limits.concurrency_slots.choose_free_slot",
    ),
    "configuration": (
        "sync.deliveries.routes.routes_for",
        "sync.deliveries.routes.get_resolved_route",
        "sync.deliveries.routes.resolved_routes",
    ),
    "plan: map, match, compare": (
        "sync.attempts.apply.plan_and_apply",
        "sync.attempts.delivery_run.open_connector",
        "sync.planning.change.plan_existing_entity",
        "sync.deliveries.record_links.read_link",
    ),
    "HTTP: our client": (
        "connectors.client.http_client.HttpClient.send_request",
        "connectors.client.http_client.HttpClient.read_object",
        "connectors.client.http_client.HttpClient.read_json",
    ),
    "HTTP: library and socket": ("connectors.http.transport.transmit_request",),
    "record calls": (
        "sync.attempts.call_log.AttemptRecorder.record_request",
        "sync.attempts.call_log.AttemptRecorder.record_exchange",
        "sync.attempts.call_log.collect_calls",
    ),
    "settle": ("sync.attempts.settle.settle_attempt", "sync.deliveries.record_links.link_update"),
    "answer": (
        "sync.attempts.event_outcome.load_event_outcome",
        "sync.attempts.event_outcome.outcome_of_attempt",
        "sync.attempts.event_outcome.initial_outcome",
        "webhooks.receiving.answers.outcome_answer",
        "webhooks.receiving.outcome_links.outcome_path",
        "webhooks.receiving.answer_storage.ReceiptAnswer.__init__",
        "webhooks.receiving.answer_storage.ReceiptAnswer.add_to",
        "webhooks.views.to_http_response",
    ),
    "threads: hand over, wait, tell": (
        "sync.execution.executor.reserve_slots",
        "sync.execution.executor.ReservedSlot.start_claim",
        "sync.execution.executor.BoundedExecutor._run_in_slot",
        "sync.execution.executor.run_with_next",
        "sync.execution.executor._run_next",
        "sync.attempts.waiters.wait_for_outcome",
        "sync.attempts.waiters.notify_waiters",
    ),
    "delivery: its frame": (
        "sync.attempts.delivery_run.run_claim",
        "sync.attempts.delivery_run.run_delivery",
    ),
    "wake-ups": ("sync.execution.executor.defer_to_workers", "sync.execution.wakeups.notify_workers"),
    "audit: append": ("audit.entries.append.append_entries", "audit.entries.append.prepare_append"),
    "sealing": ("database.encryption.at_rest.encrypt", "database.encryption.at_rest.decrypt"),
    "JSON": ("json.dumps", "json.loads", "connectors.values.json_responses.parse_json"),
    "logging": ("logging.Logger._log",),
    "statements: values put together": (
        "database.bulk_insert.make_insert",
        "database.statement.Statement._execute_and_fetch",
        "database.write_batch.WriteBatch.run",
    ),
    "models: rows in memory": ("django.db.models.base.Model.__init__", "database.model_rows.new_row"),
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
