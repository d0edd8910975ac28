import pytest, time, io
from django.db import connection
from django.test.utils import CaptureQueriesContext
from tests.console.history import *
pytestmark = pytest.mark.django_db
def test_scale(capsys):
    src=a_source(); other=a_source("other")
    rows=[Event(source=src,entity_type="USER",entity_id=f"U{n%50000}",event_type="UPDATE",is_signed=True,digest=b"1"*32,received_at=NOON-timedelta(seconds=n),state="dead" if n%97==0 else "succeeded",event_id=f"m{n}") for n in range(200_000)]
    Event.objects.bulk_create(rows, batch_size=2000)
    with connection.cursor() as c: c.execute("ANALYZE")
    s=logged_in("support")
    s.get("/admin/webhooks/event/")
    for q in ("","?p=150","?state=dead","?source=aurora","?source=other","?event_type=other","?event_type=CREATE","?q=m777","?q=U777","?q=zzz","?received_to=2026-03-03T00:00","?state=dead&source=aurora","?entity_id=U5","?state=held"):
        with CaptureQueriesContext(connection) as cap:
            t=time.perf_counter(); r=s.get("/admin/webhooks/event/"+q); t=time.perf_counter()-t
        slow=max(cap.captured_queries,key=lambda x: float(x["time"]))
        with capsys.disabled(): print(q, r.status_code, f"{t*1000:.0f} ms", len(cap), "worst", slow["time"], r.context["cl"].result_count if r.context else "")
