"""Promise I6: no secret leaves by a log, an answer, a page, an export or the audit log, whatever the systems repeat."""
