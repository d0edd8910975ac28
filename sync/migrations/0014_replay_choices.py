import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0013_connection_tests'),
    ]

    operations = [
        migrations.AddField(
            model_name='attempt',
            name='takes',
            field=models.CharField(blank=True, choices=[('', 'as the route says: fetched afresh, or relayed'), ('received', 'the payload as received, unless something newer was applied'), ('anyway', 'the payload as received, over whatever was applied since')], db_default='', default='', help_text='what a person chose to be delivered', max_length=10),
        ),
        migrations.AddField(
            model_name='delivery',
            name='mapping_version',
            field=models.ForeignKey(db_index=False, help_text='that the last replay chose; empty: the newest', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='sync.mappingversion'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='takes',
            field=models.CharField(blank=True, choices=[('', 'as the route says: fetched afresh, or relayed'), ('received', 'the payload as received, unless something newer was applied'), ('anyway', 'the payload as received, over whatever was applied since')], db_default='', default='', help_text='what the last replay chose to be delivered', max_length=10),
        ),
    ]
