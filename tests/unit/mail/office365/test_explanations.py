"""Explanations of every rule and every kind of failure: plain sentences and existing commands."""

import re

import pytest

from app.mail import explain, lifecycle, policy
from app.mail.office365 import entra, sources
from app.mail.office365.bounces import lookup
from app.mail.outcome.fix_steps import steps_of
from app.mail.outcome.rule import Rule
from app.mail.outcome.verdict import Confidence, Explanation, LoginMethod

EXPLANATIONS = [(rule.name, rule.explanation) for rule in policy.RULES]
EXPLANATIONS += [(rule.name, rule.explanation) for rule in (*lookup.OWN_RULES, *lookup.DEFAULTS)]
EXPLANATIONS += [(f"no-reply-{kind}", why) for kind, why in policy.WITHOUT_REPLY.items()]
EXPLANATIONS += [("in-doubt", policy.IN_DOUBT)]
EXPLANATIONS += [(row.name, row.explanation) for row in entra.ROWS]
EXPLANATIONS += [
    (name.lower(), it)
    for module in (lifecycle, explain)
    for name, it in vars(module).items()
    if isinstance(it, Explanation)
]
EXPLANATIONS += [(f"{rule.name}-{method}", it) for rule in policy.RULES for method, it in rule.by_login.items()]
WHAT_TO_DO = [pytest.param(why, id=name) for name, why in EXPLANATIONS]
ALL_FIXES = " ".join(why.fix for _, why in EXPLANATIONS)

# Every command a fix may name, with the page that documents it (MicrosoftDocs/office-docs-powershell has their source).
_EXCHANGE = "https://learn.microsoft.com/powershell/module/exchangepowershell/"
COMMANDS = {
    "Add-HVEAppAccess": _EXCHANGE + "add-hveappaccess",
    "Add-RecipientPermission": _EXCHANGE + "add-recipientpermission",
    "Connect-ExchangeOnline": _EXCHANGE + "connect-exchangeonline",
    "Install-Module": "https://learn.microsoft.com/powershell/module/powershellget/install-module",
    "Remove-BlockedSenderAddress": _EXCHANGE + "remove-blockedsenderaddress",
    "Set-AuthenticationPolicy": _EXCHANGE + "set-authenticationpolicy",
    "Set-CASMailbox": _EXCHANGE + "set-casmailbox",
    "Set-Mailbox": _EXCHANGE + "set-mailbox",
}
PARAMETERS = {
    "Add-HVEAppAccess": {"Identity", "AppIds"},
    "Add-RecipientPermission": {"Identity", "Trustee", "AccessRights"},
    "Remove-BlockedSenderAddress": {"SenderAddress"},
    "Set-AuthenticationPolicy": {"Identity", "AllowBasicAuthSmtp"},
    "Set-CASMailbox": {"Identity", "SmtpClientAuthenticationDisabled"},
    "Set-Mailbox": {"Identity", "RecipientLimits", "MaxSendSize", "MessageCopyForSMTPClientSubmissionEnabled"},
}
_VERBS = "Add|Clear|Connect|Disable|Enable|Get|Grant|Install|New|Remove|Search|Set|Start|Test|Update"
COMMAND = re.compile(rf"(?<!\./)\b(?:{_VERBS})-[A-Z]\w+")  # test_office365_guide verifies calls of our scripts
PLACES = {
    "<mailbox>", "<id>", "<from-address>", "<client-id>", "<object-id>", "<policy>", "<service-account>", "<namespace>",
}  # fmt: skip
SETTINGS = {
    "POSTERN_MAILBOX", "POSTERN_PASSWORD", "POSTERN_TENANT_ID", "POSTERN_CLIENT_ID", "POSTERN_CLIENT_SECRET",
    "POSTERN_TOKEN_SCOPE", "POSTERN_SMTP_HOST", "POSTERN_SMTP_PORT", "POSTERN_SMTP_CA_FILE", "POSTERN_EHLO_NAME",
    "POSTERN_CONNECTIONS", "POSTERN_MESSAGES_PER_MINUTE", "POSTERN_CLIENT_CERTIFICATE", "POSTERN_FEDERATED_TOKEN_FILE",
    "POSTERN_MANAGED_IDENTITY", "POSTERN_CLIENT_SECRET_NEXT", "POSTERN_CLOUD", "POSTERN_AUTHORITY",
    "POSTERN_TOKEN_CA_FILE", "POSTERN_IPV4_ONLY",
}  # fmt: skip
SITES = {
    "https://admin.microsoft.com", "https://admin.exchange.microsoft.com", "https://entra.microsoft.com",
    "https://security.microsoft.com", "https://security.microsoft.com/restrictedentities",
    "https://security.microsoft.com/tenantAllowBlockList", "https://outlook.office.com",
    "https://outlook.office365.com/.default", "https://login.microsoftonline.com",
    "https://login.microsoftonline.com/error", "https://status.azure.com",
}  # fmt: skip


@pytest.mark.parametrize("why", WHAT_TO_DO)
def test_an_explanation_is_a_short_sentence_and_a_fix(why: Explanation) -> None:
    """Short enough for a line of a table."""
    assert 10 < len(why.summary) <= 160
    assert len(why.fix) > 10
    for text in (why.summary, *steps_of(why.fix)):
        assert text[0].isupper()
        assert text.endswith((".", ")."))
        assert not re.search(r"!|\u2014|\u2013|  | $", text)
    assert not COMMAND.search(why.summary)


@pytest.mark.parametrize("why", WHAT_TO_DO)
def test_a_fix_names_existing_commands_and_settings(why: Explanation) -> None:
    """Commands, parameters, placeholders, settings and sites."""
    assert set(COMMAND.findall(why.fix)) <= set(COMMANDS)
    assert set(re.findall(r"<[^>]*>", why.fix)) <= PLACES
    assert set(re.findall(r"POSTERN_\w+", why.fix)) <= SETTINGS
    assert {site.rstrip(".,;:)") for site in re.findall(r"https://[^\s,;)]+", why.fix)} <= SITES
    assert "{" not in why.fix


def test_every_allowed_command_is_used_with_its_own_parameters() -> None:
    """As written between backticks; an unused one leaves the list."""
    assert set(COMMAND.findall(ALL_FIXES)) == set(COMMANDS)
    for command, *arguments in (line.split() for line in re.findall(r"`([^`]+)`", ALL_FIXES)):
        if command.startswith("./"):
            continue
        given = {argument[1:] for argument in arguments if argument.startswith("-")}
        assert given <= PARAMETERS.get(command, set()), command


def test_a_changing_command_has_instructions_to_run_it() -> None:
    for name, why in EXPLANATIONS:
        if any(COMMAND.match(command) for command in re.findall(r"`([^`]+)`", why.fix)):
            assert "Install-Module ExchangeOnlineManagement" in why.fix, name
            assert "Connect-ExchangeOnline" in why.fix, name


@pytest.mark.parametrize("why", WHAT_TO_DO)
def test_the_steps_of_a_fix_are_numbered_from_its_beginning(why: Explanation) -> None:
    """No step contains a list of its own, and there is no sentence before the first number."""
    assert not any(re.search(r"(^|\s)\d\. ", step) for step in steps_of(why.fix))


def test_a_fix_is_for_the_login_of_the_mailbox() -> None:
    """An OAuth mailbox gets no advice about its password, and a password mailbox none about an app's rights."""
    for rule in policy.RULES:
        oauth = policy.explain_for_login(rule.explanation, LoginMethod.OAUTH)
        password = policy.explain_for_login(rule.explanation, LoginMethod.PASSWORD)
        assert not re.search(r"\bpassword\b|POSTERN_PASSWORD", f"{oauth.summary} {oauth.fix}"), rule.name
        if LoginMethod.PASSWORD in rule.by_login:
            assert not re.search(r"POSTERN_TOKEN_SCOPE|<object-id>", password.fix), rule.name


def test_the_retirement_of_passwords_has_its_dates() -> None:
    """Microsoft's timeline of January 2026."""
    fix = next(rule.fix for rule in policy.RULES if rule.name == "basic-auth-retired")
    for fact in ("end of December 2026", "second half of 2027", "switch them on again", "SMTP.SendAsApp"):
        assert fact in fix


def test_an_ambiguous_refusal_has_both_fixes() -> None:
    """The reply is the same for a wrong password and for an OAuth app without rights."""
    fix = next(rule.fix for rule in policy.RULES if rule.name == "authentication-unsuccessful")
    for fact in ("POSTERN_PASSWORD", "Enterprise applications", "SMTP.SendAsApp", "POSTERN_TOKEN_SCOPE"):
        assert fact in fix


KNOWN_SOURCES = {value for name, value in vars(sources).items() if name.isupper()}
PROJECTS = {
    "MailKit", "Haraka", "nodemailer", "fastapi-mail", "email-oauth2-proxy", "oauth2ms", "sasl-xoauth2", "rustdesk",
    "mikel/mail", "ntfy", "sensu-email-handler", "vaultwarden", "notifuse", "pm2-health", "datalust",
}  # fmt: skip
OTHERS = {"smtp-field-manual (2025)", "support.servicenow.com KB0751248"}


@pytest.mark.parametrize("rule", [*policy.RULES, *lookup.OWN_RULES, *lookup.DEFAULTS], ids=lambda rule: rule.name)
def test_every_rule_has_its_source(rule: Rule) -> None:
    """A page of Microsoft's, a standard, or a published log."""
    for source in rule.source.split("; "):
        place = re.sub(r" \((August 2026|October 2024)\)$", "", source)
        project, *issues = re.split(r" README|,? #", place)
        assert (
            place in KNOWN_SOURCES | OTHERS
            or place.startswith("RFC ")
            or (project in PROJECTS and (issues and all(not issue or issue.strip(", ").isdigit() for issue in issues)))
        ), source


def test_defaults_are_marked_as_guesses() -> None:
    """All but the ordinary success go by the code alone."""
    assert {rule.confidence for rule in policy.DEFAULTS if not rule.known} == {Confidence.LOW}
    assert [rule.name for rule in policy.DEFAULTS if rule.known] == ["relayed"]
