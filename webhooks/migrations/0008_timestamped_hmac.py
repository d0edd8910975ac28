"""A source may be verified by an HMAC of time and body."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0007_bounds_of_waiting")]

    operations = [
        migrations.AlterField(
            model_name="source",
            name="scheme",
            field=models.CharField(
                choices=[
                    ("standard-webhooks", "Standard Webhooks (also Svix)"),
                    ("body-hmac", "HMAC of the body in one header"),
                    ("timestamped-hmac", "HMAC of time and body in one header (Stripe, WorkOS, Zitadel)"),
                    ("bearer", "Bearer token"),
                    ("basic", "User name and password (Basic)"),
                    ("header", "Secret value in a header"),
                    ("none", "No verification: every webhook is only a hint"),
                ],
                max_length=32,
                verbose_name="verification",
            ),
        ),
    ]
