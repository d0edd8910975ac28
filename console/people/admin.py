"""ModelAdmins of people and roles: Django's pages, with each change on the audit log without names or passwords."""

from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.base.admin_pages import admin_page, column
from console.base.audit_trail import client_address, require_staff_user
from console.base.audited_admin import AuditedAdmin
from console.base.forms import ReasonForm
from console.people.access import (
    holds_role,
    is_oneself,
    lock_permission_changes,
    may_set_password,
    users_who_can_change_users,
)
from console.people.forms import (
    NewPasswordForm,
    NewPersonForm,
    PersonForm,
    RoleForm,
)
from console.people.logins import (
    UnlockForm,
    describe_lock,
    recent_failures,
    record_password_change,
    unlock_person,
)
from console.people.permission_boxes import PermissionBoxes, PermissionField, render_permissions
from console.ui.formatting import render_time
from console.ui.outcome_texts import render_pill
from logins.access_requests import (
    password_approvals,
    request_permissions,
    request_removal,
    request_role,
    use_password_approval,
)
from logins.fresh_login import require_fresh_login
from logins.given_passwords import mark_given_password
from logins.models import AccessChange
from logins.overseers import has_right_with, is_built_in, people_who_need

# Their permissions open no page of the console, so the forms do not offer them.
_APPS_WITHOUT_PAGES = ("admin", "contenttypes", "sessions")
_PASSWORD_RULE = gettext_lazy(
    "This person has permissions that you lack, and the password gives access to all of them. Only a superuser "
    "can set it."
)
_OWN_ACCESS = ("is_active", "is_staff", "groups")
_ACCESS_FIELDS = frozenset({*_OWN_ACCESS, "permissions"})


class RoleFilter(admin.RelatedFieldListFilter):
    """List filter of people by role. Django calls a role a group."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("role")
        self.empty_value_display = SafeString(_("no role"))


admin.site.unregister([User, Group])


class AccountAdmin(AuditedAdmin):
    """Share what the pages of people and roles have in common: titles, safe changes of permissions.

    Changes run one at a time, and a person who can change people must remain: two people who remove the permission from
    each other at the same moment do not both succeed.
    """

    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    filter_horizontal = ()
    delete_confirmation_template = "console/base/confirm_delete.html"
    list_title: Any = ""
    add_title: Any = ""

    def access_notice(self, request: HttpRequest, row: Any) -> str:
        """Return a sentence on what this person may not change here; empty if there is nothing to say."""
        return ""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": self.list_title, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        row = context.get("original")
        context |= {"title": self.display_name(row) if row else self.add_title, "subtitle": None}
        context["access_notice"] = self.access_notice(request, row) if row else ""
        return super().render_change_form(request, context, *args, **kwargs)

    def render_delete_form(self, request: HttpRequest, context: Any) -> Any:
        name = self.display_name(context["object"])
        context |= {"title": _("Delete %(name)s?") % {"name": name}, "subtitle": None}
        return super().render_delete_form(request, context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        if request.method == "POST" and connection.in_atomic_block:
            # Taken before the row is read, so that the check below sees the last committed state.
            lock_permission_changes()
        return super().get_object(request, object_id, from_field)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        # `get_form` returns a new class for each request, so this reaches no other request.
        form.editor = request.user
        return form

    def request_access(self, request: HttpRequest, row: Any, access_to_request: Sequence[Any]) -> None:
        """Request what the editor cannot give alone, in the transaction of the change."""
        raise NotImplementedError

    def request_removals(self, request: HttpRequest, form: Any) -> None:
        """Request what takes the right to read the audit log, in the transaction of the change."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save a login or a role. Raises FreshLoginNeeded for a new one and for a change of what people may do."""
        if not change or _ACCESS_FIELDS.intersection(form.changed_data):
            require_fresh_login(request)
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if form.access_to_request:
            self.request_access(request, form.instance, form.access_to_request)
            text = _("You lack permissions that you chose, so another administrator must approve them.")
            _warn_of_request(request, text)
        if form.removals_to_request:
            self.request_removals(request, form)
            text = _(
                "The person can read the audit log, so another administrator must approve what you took away."
            )
            _warn_of_request(request, text)
        # Checked after the change, in its transaction: raising rolls the change back.
        if change:
            _require_remaining_admin()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        require_fresh_login(request)
        with transaction.atomic():
            super().delete_model(request, obj)
            _require_remaining_admin()

    def display_name(self, row: Any) -> str:
        return str(row)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Remove the links that add a role or a permission from the form of a person."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        # The wrapper adds the links; the widget inside is the plain field.
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        if db_field.related_model is Permission:
            kwargs |= {"queryset": _assignable_permissions(), "form_class": PermissionField}
            kwargs |= {"widget": PermissionBoxes}
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[arg-type]


@admin.register(User)
class PersonAdmin(AccountAdmin, UserAdmin):  # type: ignore[type-arg]
    """Manage the logins of staff."""

    audit_kind = "person"
    redacted_fields = frozenset({"username", "first_name", "last_name", "email", "password"})
    m2m_fields = ("groups", "user_permissions")
    list_title = gettext_lazy("People")
    add_title = gettext_lazy("Add a person")
    count_nouns = (gettext_lazy("person"), gettext_lazy("people"))

    form = PersonForm
    add_form = NewPersonForm
    change_password_form = NewPasswordForm
    add_form_template = "admin/change_form.html"
    list_display = ("login_name", "full_name", "role_names", "login_status", "last_login_at")
    list_filter = ("is_active", ("groups", RoleFilter))
    readonly_fields = ("password_link", "extra_permissions", "login_lock", "last_login_at", "added_at")
    add_fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email", "groups")}),
        (gettext_lazy("Password"), {"fields": ("password1", "password2")}),
    )
    fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email", "password_link")}),
        (gettext_lazy("Access"), {"fields": ("is_active", "is_staff", "groups")}),
        (gettext_lazy("Logins"), {"fields": ("login_lock", "last_login_at", "added_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def list_headline(self, rows: Sequence[Any]) -> str:
        idle = sum(not person.groups.all() and not person.is_superuser for person in rows if person.is_active)
        text = ngettext(
            "%(count)d person can log in and has no role.",
            "%(count)d people can log in and have no role.",
            idle,
        )
        return text % {"count": idle} if idle else _("Everyone who can log in has a role.")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Add the permissions that no role gives, if the person has any. They are shown only: roles are the one way."""
        shown: list[Any] = list(super().get_fieldsets(request, obj))
        if obj is not None and not (
            self.has_change_permission(request, obj) and may_set_password(request.user, obj)
        ):
            names = tuple(name for name in shown[0][1]["fields"] if name != "password_link")
            shown[0] = (None, {"fields": names})
        if obj is not None and self._may_lose_log(request, obj):
            name, access = shown[1]
            shown[1] = (name, {"fields": (*access["fields"], "reason")})
        if obj is not None and obj.user_permissions.exists():
            extra = {"fields": ("extra_permissions",)}
            shown.insert(2, (_("Permissions in addition to the roles"), extra))
        return shown

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show one's own access and a fixed username read-only: the fields are not read from the request."""
        own = _OWN_ACCESS if is_oneself(request.user, obj) else ()
        # That of a disabled login can be erased.
        is_fixed = obj is not None and obj.is_active and obj.last_login is not None
        return (*super().get_readonly_fields(request, obj), *own, *(("username",) if is_fixed else ()))

    def _may_lose_log(self, request: HttpRequest, person: User) -> bool:
        """Return True if this form can take the right to read the audit log from the person."""
        if is_oneself(request.user, person) or not self.has_change_permission(request, person):
            return False
        return has_right_with(person, person.groups.all())

    def access_notice(self, request: HttpRequest, row: User) -> str:
        if is_oneself(request.user, row):
            return _("You cannot change your own roles or disable your own login. Ask another administrator.")
        if row.is_superuser and not self.has_change_permission(request, row):
            return _("This person is a superuser. Only superusers can change this login.")
        return "" if may_set_password(request.user, row) else str(_PASSWORD_RULE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let only superusers change the login of a superuser, its password and its lock included."""
        is_above = obj is not None and obj.is_superuser and not getattr(request.user, "is_superuser", False)
        return super().has_change_permission(request, obj) and not is_above

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid deleting logins, to superusers too: they are switched off, and the audit log keeps their names."""
        return False

    def display_name(self, row: User) -> str:
        full = row.get_full_name()
        return f"{full} ({row.username})" if full else row.username

    login_name = column(User, gettext_lazy("username"), lambda person: person.username)
    full_name = column(User, gettext_lazy("name"), lambda person: person.get_full_name(), empty="–")

    @admin.display(description=gettext_lazy("roles"), empty_value="–")
    def role_names(self, person: User) -> str:
        held = [role.name for role in person.groups.all()]
        return ", ".join([_("everything"), *held] if person.is_superuser else held)

    @admin.display(description=gettext_lazy("status"))
    def login_status(self, person: User) -> SafeString:
        if not person.is_active:
            return render_pill("neutral", "⊘", _("Disabled"))
        return (
            render_pill("good", "✓", _("Active"))
            if person.is_staff
            else render_pill("neutral", "–", _("No console"))
        )

    last_login_at = column(
        User, gettext_lazy("last login"), lambda person: render_time(person.last_login, _("never"))
    )
    added_at = column(User, gettext_lazy("added"), lambda person: render_time(person.date_joined))

    @admin.display(description=gettext_lazy("password"))
    def password_link(self, person: User) -> SafeString:
        words = _("Set a new password…") if person.has_usable_password() else _("Set a password…")
        return format_html('<a class="button" href="../password/">{}</a>', words)

    @admin.display(description=gettext_lazy("permissions"))
    def extra_permissions(self, person: User) -> str:
        return ", ".join(person.user_permissions.values_list("name", flat=True))

    @admin.display(description=gettext_lazy("failed logins"))
    def login_lock(self, person: User) -> SafeString:
        return format_html(
            '{} <a class="button" href="../unlock/">{}</a>', describe_lock(person), _("Unlock the login…")
        )

    def request_access(self, request: HttpRequest, row: User, access_to_request: Sequence[Group]) -> None:
        for role in access_to_request:
            request_role(row, role, by=require_staff_user(request), address=client_address(request))

    def request_removals(self, request: HttpRequest, form: Any) -> None:
        by, address = require_staff_user(request), client_address(request)
        for change, role in form.removals_to_request:
            reason = form.cleaned_data["reason"]
            request_removal(form.instance, change, role, reason=reason, by=by, address=address)

    @admin_page("<int:pk>/unlock/", "unlock")
    def unlock_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show who tried to log in as this person, and unlock the login."""
        person = self.get_object(request, str(pk))
        if person is None:
            raise Http404
        if not self.has_change_permission(request, person):
            raise PermissionDenied
        form = UnlockForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            unlock_person(request, person, form.cleaned_data["address"] or "")
            messages.success(request, _("The login is unlocked."))
            return redirect("admin:auth_user_change", pk)
        context = {
            "title": _("Unlock the login of %(name)s?") % {"name": self.display_name(person)},
            "person": person,
            "lock": describe_lock(person),
            "failures": recent_failures(person),
            "form": form,
        }
        return self.render_page(request, "console/people/unlock.html", context)

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        if db_field.name == "groups":
            kwargs["widget"] = forms.CheckboxSelectMultiple
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def audit_stream(self, pk: Any) -> str:
        """Return the audit stream of a person, which also holds logins and password changes."""
        return f"person:{pk}"

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            mark_given_password(obj)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        person = self.get_object(request, unquote(id))
        if is_oneself(request.user, person):
            # That page asks for the old password.
            return redirect("admin:password_change")
        if person is not None and not may_set_password(request.user, person):
            raise PermissionDenied(_PASSWORD_RULE)
        may_change = person is not None and self.has_change_permission(request, person)
        if request.method == "POST" and may_change:
            require_fresh_login(request)
        page = partial(super().user_change_password, request, id, form_url)
        if person is None or not may_change:
            return page()
        if not has_right_with(person, person.groups.all()):
            return record_password_change(request, person.pk, page)
        return self._change_password_of_reader(request, person, page)

    def _change_password_of_reader(
        self, request: HttpRequest, person: User, page: Callable[[], HttpResponse]
    ) -> HttpResponse:
        """Show the page that sets the password once if a second person has approved it; otherwise the one that requests
        this.
        """
        by = require_staff_user(request)
        if not password_approvals(person, by).exists():
            return self._request_password(request, person)
        with transaction.atomic():
            # Django's page redirects once it has changed the password.
            response = record_password_change(request, person.pk, page)
            if response.status_code == HTTPStatus.FOUND and not use_password_approval(person, by):
                raise PermissionDenied
        return response

    def _request_password(self, request: HttpRequest, person: User) -> HttpResponse:
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if request.method == "POST" and form.is_valid():
            by, address, reason = (
                require_staff_user(request),
                client_address(request),
                form.cleaned_data["reason"],
            )
            with transaction.atomic():
                access_request = request_removal(
                    person, AccessChange.PASSWORD, None, reason=reason, by=by, address=address
                )
            return redirect("admin:logins_accessrequest_change", access_request.pk)
        context = {
            "title": _("Set a new password for %(name)s?") % {"name": self.display_name(person)},
            "person": person,
            "form": form,
        }
        return self.render_page(request, "console/people/request_password.html", context)


@admin.register(Group)
class RoleAdmin(AccountAdmin, GroupAdmin):
    """Manage roles and their permissions."""

    audit_kind = "group"
    m2m_fields = ("permissions",)
    list_title = gettext_lazy("Roles")
    add_title = gettext_lazy("Add a role")
    count_nouns = (gettext_lazy("role"), gettext_lazy("roles"))

    form = RoleForm
    fields = ("name", "permissions")
    readonly_fields = ("held_permissions",)
    list_display = ("name", "people_count")

    def list_headline(self, rows: Sequence[Any]) -> str:
        unheld = sum(not role.member_count for role in rows)
        text = ngettext("%(count)d role is held by no one.", "%(count)d roles are held by no one.", unheld)
        return text % {"count": unheld} if unheld else _("Every role is held by someone.")

    def request_access(self, request: HttpRequest, row: Group, access_to_request: Sequence[str]) -> None:
        request_permissions(
            row, access_to_request, by=require_staff_user(request), address=client_address(request)
        )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid changing a role that one holds: it would change one's own permissions."""
        return super().has_change_permission(request, obj) and not holds_role(request.user, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid deleting a role that one holds."""
        return super().has_delete_permission(request, obj) and not holds_role(request.user, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Keep a built-in role, and one that alone lets a person read the audit log: the page says why."""
        if kept := [why_kept for role in objs if (why_kept := _why_kept(role))]:
            return [], {}, set(), kept
        return super().get_deleted_objects(objs, request)

    def render_delete_form(self, request: HttpRequest, context: Any) -> Any:
        return super().render_delete_form(request, context | {"why_kept": _why_kept(context["object"])})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Show no button that deletes a role that is kept."""
        role = context["original"]
        shown = context | {"show_delete": role is None or not _why_kept(role)}
        return super().render_change_form(request, shown, *args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """List the permissions of a role that this person may not change."""
        is_shown = obj is not None and not self.has_change_permission(request, obj)
        return [(None, {"fields": ("name", "held_permissions") if is_shown else self.fields})]

    @admin.display(description=gettext_lazy("permissions"))
    def held_permissions(self, role: Group) -> SafeString:
        return render_permissions(role.permissions.select_related("content_type"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the name of a built-in role read-only: it says which role it is."""
        fixed = ("name",) if is_built_in(obj) else ()
        return (*super().get_readonly_fields(request, obj), *fixed)

    def access_notice(self, request: HttpRequest, row: Group) -> str:
        if holds_role(request.user, row):
            return _(
                "You hold this role, so you cannot change it. Ask a person who does not hold it, or a superuser."
            )
        return _why_kept(row)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Keep the permissions that the form does not offer."""
        # Saving the form replaces all permissions, those that it does not show included.
        hidden = form.instance.permissions.filter(content_type__app_label__in=_APPS_WITHOUT_PAGES)
        form.cleaned_data["permissions"] = [*form.cleaned_data["permissions"], *hidden]
        super().save_related(request, form, formsets, change)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        counted: QuerySet[Group] = super().get_queryset(request).annotate(member_count=Count("user"))
        return counted

    @admin.display(description=gettext_lazy("people"))
    def people_count(self, role: Any) -> int:
        return int(role.member_count)


def _why_kept(role: Group) -> str:
    """Return a sentence that says why the role cannot be deleted, or "" if it can."""
    if is_built_in(role):
        return _("This role is built in: it keeps its name and its core permissions, and cannot be deleted.")
    if people_who_need(role).exists():
        return _(
            "People can read the audit log because of this role alone, so it keeps that permission and cannot be "
            "deleted. Take the role from each of them first, which a second person approves."
        )
    return ""


def _warn_of_request(request: HttpRequest, text: str) -> None:
    url = reverse("admin:logins_accessrequest_changelist")
    messages.warning(request, format_html('{} <a href="{}">{}</a>', text, url, _("Access requests")))


def _require_remaining_admin() -> None:
    if not users_who_can_change_users().exists():
        raise PermissionDenied(_("This would leave no one who can manage users."))


def _assignable_permissions() -> QuerySet[Permission]:
    return Permission.objects.exclude(content_type__app_label__in=_APPS_WITHOUT_PAGES).order_by("name")
