from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0004_periodic'),
    ]

    operations = [
        migrations.AddField(
            model_name='replay',
            name='kind',
            field=models.CharField(choices=[('replay', 'replay'), ('approval', 'approval'), ('closing', 'closing')], db_default='replay', default='replay', max_length=8),
        ),
    ]
