from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0005_search_digests'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='failuregroup',
            options={'default_permissions': ('view',), 'permissions': [('manage_failuregroup', 'Can manage failure groups')], 'verbose_name_plural': 'failures'},
        ),
        migrations.AddField(
            model_name='alarm',
            name='peak',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='the highest count'),
        ),
        migrations.AddField(
            model_name='breaker',
            name='status',
            field=models.PositiveSmallIntegerField(help_text='HTTP status of the response that opened it', null=True),
        ),
        migrations.AddField(
            model_name='failuregroup',
            name='ticket_url',
            field=models.URLField(blank=True, db_default='', default='', help_text='where the failure is handled', max_length=300),
        ),
        migrations.AlterField(
            model_name='personrequest',
            name='pace',
            field=models.CharField(blank=True, choices=[('gentle', 'gentle'), ('normal', 'normal'), ('first', 'send one first, then pause'), ('answered', 'gentle, once the system answers again')], default='', max_length=8),
        ),
    ]
